# Runs a PostgreSQL server until the standard input ends, whatever ends the process that holds it.
# $1: the folder with its programs
set -e
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Words sort as people sort them: a house that needs the order of bytes must ask for it.
"$1/initdb" -D "$folder/data" -U postgres --auth=trust --no-sync --encoding=UTF8 \
    --locale=C.UTF-8 --locale-provider=icu --icu-locale=en > /dev/null
cat >> "$folder/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$folder'
max_connections = 200
autovacuum = off
fsync = off
full_page_writes = off
synchronous_commit = off
END
"$1/pg_ctl" -D "$folder/data" -l "$folder/log" -w start > /dev/null || { cat "$folder/log" >&2; exit 1; }
echo "$folder"
cat > /dev/null
"$1/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null
