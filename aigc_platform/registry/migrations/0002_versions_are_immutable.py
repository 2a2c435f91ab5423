"""A version never changes: its lineage must stay what it was."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION registry_refuse_version_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'version % of model % is immutable', OLD.number, OLD.model_id
    USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER registry_modelversion_immutable BEFORE UPDATE ON registry_modelversion
  FOR EACH ROW EXECUTE FUNCTION registry_refuse_version_change();
"""

BACKWARD = """
DROP TRIGGER registry_modelversion_immutable ON registry_modelversion;
DROP FUNCTION registry_refuse_version_change();
"""


class Migration(migrations.Migration):
    dependencies = [("registry", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
