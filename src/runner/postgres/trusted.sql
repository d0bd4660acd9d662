-- Whether the role `r` is trusted: a superuser, the database's owner (for whom `pg_database_owner` stands), a member of
-- `rds_superuser`, or a role whose privileges the session's role or its login has as a member. A superuser has those of
-- every role, and is no member of them.
-- https://www.postgresql.org/docs/current/predefined-roles.html
r.rolsuper or r.rolname = 'pg_database_owner'
or r.oid = (select datdba from pg_database where datname = current_database())
or exists (select from pg_roles s where s.rolname = 'rds_superuser' and pg_has_role(r.oid, s.oid, 'MEMBER'))
or (pg_has_role(current_user, r.oid, 'USAGE') or pg_has_role(session_user, r.oid, 'USAGE')) and r.oid in (
    with recursive held as (
        select oid from pg_roles where rolname in (current_user, session_user)
        union
        select m.roleid from pg_auth_members m join held on held.oid = m.member
    )
    select oid from held)
