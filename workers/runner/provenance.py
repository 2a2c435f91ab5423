"""What a job's outputs say about where they come from."""

from ml.codecs.provenance import Provenance
from workers.runner.protocol import JobItem


def provenance_of(item: JobItem) -> Provenance:
    """The label of the job's outputs; entries of `item.provenance` without a field there are left out."""
    said = item.provenance
    default = Provenance()
    return Provenance(
        platform=said.get("platform", default.platform),
        creator_tool=said.get("creator_tool", default.creator_tool),
        job=item.job_id,
        model_version=said.get("model_version"),
        model_sha256=said.get("model_sha256"),
    )
