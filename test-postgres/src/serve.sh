# Runs a PostgreSQL server until the standard input ends, whatever ends the process that holds it.
# $1: the folder with its programs
# Each line of the input is a wish: `stop` (at once, as if it had died), `start`, `set` and a line for its
# configuration, or `put`, the name of a file that only the server may read, and its text; it is answered with `done`.
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
start() {
    "$1/pg_ctl" -D "$folder/data" -l "$folder/log" -w start > /dev/null || { cat "$folder/log" >&2; exit 1; }
}
stop() {
    "$1/pg_ctl" -D "$folder/data" -m immediate stop > /dev/null
}
start "$1"
echo "$folder"
while read -r wish rest; do
    case $wish in
    stop) stop "$1" ;;
    start) start "$1" ;;
    set) echo "$rest" >> "$folder/data/postgresql.conf" ;;
    put) (umask 077 && printf '%b' "${rest#* }" > "$folder/${rest%% *}") ;;
    esac
    echo done
done
stop "$1" || true
