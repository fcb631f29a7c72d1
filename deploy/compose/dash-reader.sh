#!/bin/sh
# Runs in the container `dash-reader`: a login `dash` that is a member of cfx_reader, with the password that Grafana has. Run again it
# only sets the password again. psql writes it quoted; it never stands on a command line.
set -eu

PGPASSWORD=$(cat /run/secrets/postgres_password)
export PGPASSWORD PGHOST=postgres PGUSER=counterfactory PGDATABASE=counterfactory
psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 <<'SQL'
\set password `cat /run/secrets/dash_password`
SELECT 'CREATE ROLE dash LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dash') \gexec
SELECT format('ALTER ROLE dash PASSWORD %L', :'password') \gexec
GRANT cfx_reader TO dash;
-- A question that somebody typed into a board must not keep the database busy for ever.
ALTER ROLE dash SET statement_timeout = '30s';
SQL
