from ml.codecs.provenance import TRAINED_ALGORITHMIC_MEDIA, Provenance
from tests.unit.workers.runner.conftest import job_item
from workers.runner.provenance import provenance_of


def test_the_label_says_what_the_platform_says() -> None:
    item = job_item("job-1", "/nowhere").model_copy(
        update={
            "provenance": {
                "platform": "p",
                "model_version": "pets:3",
                "digital_source_type": "a photo",
                "x": "y",
            }
        }
    )
    label = provenance_of(item)
    assert (label.platform, label.model_version, label.job) == ("p", "pets:3", "job-1")
    assert label.digital_source_type == TRAINED_ALGORITHMIC_MEDIA


def test_what_the_platform_does_not_say_has_its_default() -> None:
    assert provenance_of(job_item("job-1", "/nowhere")) == Provenance(job="job-1")
