"""The database writes down every change of Django's tables of people, as it does for ours. Before the deploy."""

from django.db import migrations

# A row of a link is kept under the person or role it belongs to; its label is the name of what it links to.
MAKE = """
CREATE FUNCTION payments_site_people_trail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row jsonb := coalesce(to_jsonb(NEW), to_jsonb(OLD));
    called text := CASE TG_TABLE_NAME
        WHEN 'auth_user' THEN row ->> 'username'
        WHEN 'auth_group' THEN row ->> 'name'
        WHEN 'auth_user_groups' THEN (SELECT name FROM auth_group WHERE id = (row ->> 'group_id')::bigint)
        ELSE (SELECT codename FROM auth_permission WHERE id = (row ->> 'permission_id')::bigint)
    END;
BEGIN
    PERFORM channels_app_write_down(
        TG_ARGV[0], row ->> TG_ARGV[1], TG_ARGV[2], called, to_jsonb(OLD), to_jsonb(NEW),
        '{password}', '{last_login}'
    );
    RETURN NULL;
END
$$;
CREATE TRIGGER people_trail AFTER INSERT OR DELETE ON auth_user
    FOR EACH ROW EXECUTE FUNCTION payments_site_people_trail('auth.user', 'id', '');
CREATE TRIGGER people_trail_changed AFTER UPDATE ON auth_user FOR EACH ROW
    WHEN ((to_jsonb(OLD) - 'last_login') IS DISTINCT FROM (to_jsonb(NEW) - 'last_login'))
    EXECUTE FUNCTION payments_site_people_trail('auth.user', 'id', '');
CREATE TRIGGER people_trail AFTER INSERT OR UPDATE OR DELETE ON auth_group
    FOR EACH ROW EXECUTE FUNCTION payments_site_people_trail('auth.group', 'id', '');
CREATE TRIGGER people_trail AFTER INSERT OR UPDATE OR DELETE ON auth_user_groups
    FOR EACH ROW EXECUTE FUNCTION payments_site_people_trail('auth.user', 'user_id', 'role');
CREATE TRIGGER people_trail AFTER INSERT OR UPDATE OR DELETE ON auth_user_user_permissions
    FOR EACH ROW EXECUTE FUNCTION payments_site_people_trail('auth.user', 'user_id', 'permission');
CREATE TRIGGER people_trail AFTER INSERT OR UPDATE OR DELETE ON auth_group_permissions
    FOR EACH ROW EXECUTE FUNCTION payments_site_people_trail('auth.group', 'group_id', 'permission');
"""
UNMAKE = """
DROP TRIGGER people_trail ON auth_user;
DROP TRIGGER people_trail_changed ON auth_user;
DROP TRIGGER people_trail ON auth_group;
DROP TRIGGER people_trail ON auth_user_groups;
DROP TRIGGER people_trail ON auth_user_user_permissions;
DROP TRIGGER people_trail ON auth_group_permissions;
DROP FUNCTION payments_site_people_trail();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("channels_app", "0004_trail"),
        ("payments_site", "0003_trail"),
    ]

    operations = [migrations.RunSQL(MAKE, UNMAKE)]
