"""What a constraint cannot say: terminal states are final, the event log only grows."""

from django.db import migrations

FORWARD = """
CREATE FUNCTION jobs_refuse_leaving_terminal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.status IN ('succeeded', 'failed', 'canceled', 'expired') AND NEW.status <> OLD.status THEN
    RAISE EXCEPTION 'job % is %, which is final', OLD.id, OLD.status USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER jobs_job_terminal_is_final BEFORE UPDATE OF status ON jobs_job
  FOR EACH ROW EXECUTE FUNCTION jobs_refuse_leaving_terminal();

CREATE FUNCTION jobs_refuse_falling_fence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.fence < OLD.fence THEN
    RAISE EXCEPTION 'fence of job % cannot fall from % to %', OLD.id, OLD.fence, NEW.fence
      USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER jobs_job_fence_never_falls BEFORE UPDATE OF fence ON jobs_job
  FOR EACH ROW EXECUTE FUNCTION jobs_refuse_falling_fence();

CREATE FUNCTION jobs_refuse_event_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'job events are append-only' USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER jobs_jobevent_append_only BEFORE UPDATE OR DELETE ON jobs_jobevent
  FOR EACH ROW EXECUTE FUNCTION jobs_refuse_event_change();
"""

BACKWARD = """
DROP TRIGGER jobs_jobevent_append_only ON jobs_jobevent;
DROP FUNCTION jobs_refuse_event_change();
DROP TRIGGER jobs_job_fence_never_falls ON jobs_job;
DROP FUNCTION jobs_refuse_falling_fence();
DROP TRIGGER jobs_job_terminal_is_final ON jobs_job;
DROP FUNCTION jobs_refuse_leaving_terminal();
"""


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_initial")]
    operations = [migrations.RunSQL(FORWARD, BACKWARD)]
