"""A version never changes: what was trained on it must stay what it was."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION datasets_refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'version % of data set % is immutable', OLD.number, OLD.dataset_id
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER datasets_datasetversion_immutable BEFORE UPDATE ON datasets_datasetversion
  FOR EACH ROW EXECUTE FUNCTION datasets_refuse_version_change();
"""

BACKWARD = """
DROP TRIGGER datasets_datasetversion_immutable ON datasets_datasetversion;
DROP FUNCTION datasets_refuse_version_change();
"""


class Migration(migrations.Migration):
    dependencies = [("datasets", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
