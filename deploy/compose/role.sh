#!/bin/bash
# Makes the role that Muster signs in as, with the password from the secret. Runs in the database's own image.
# Making a keyspace gives its maker every right in it, so the role gets nothing else.
set -euo pipefail

password=$(cat /run/secrets/cql-password)
case "$password" in
'' | *[!A-Za-z0-9]*)
    echo "compose/cql-password: write letters and digits, and no line beside them" >&2
    exit 1
    ;;
esac

cqlsh --username cassandra --password cassandra --execute "
    CREATE ROLE IF NOT EXISTS muster WITH PASSWORD = '$password' AND LOGIN = true;
    ALTER ROLE muster WITH PASSWORD = '$password';
    GRANT CREATE ON ALL KEYSPACES TO muster;" scylla
