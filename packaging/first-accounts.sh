#!/bin/sh
# Makes the password file of `make run` with two accounts whose passwords are random, and shows them once.
# Usage: first-accounts.sh FLEXIPY PASSWORD-FILE
set -eu
flexipy=$1
file=$2
umask 077
mkdir -p "$(dirname "$file")"
notes="$(dirname "$file")/first-accounts.txt"
trap 'rm -f "$file" "$notes"' INT TERM
: > "$notes"
for user in alice bob; do
    password=$(head -c 12 /dev/urandom | base64 | tr '+/' 'xy')
    printf '%s\n' "$password" | "$flexipy" passwd "$file" add "$user@localhost" --password-stdin > /dev/null
    printf '%s@localhost  %s\n' "$user" "$password" >> "$notes"
done
echo "Two accounts to begin with (kept in $notes; add your own with '$flexipy passwd $file add NAME@localhost'):"
cat "$notes"
