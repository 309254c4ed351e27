#!/bin/sh
# Makes the configuration of a house, with fresh passwords and a certificate.
# Usage: set-up.sh NAME DIRECTORY [FLEXIPY]
#   NAME       of the house, such as myhouse.example.org, or the address of the machine
#   DIRECTORY  for the files; must not exist yet
#   FLEXIPY    the command, when it is not in the PATH
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# //p' "$0"; exit 2; }
name=$1
directory=$2
flexipy=${3:-flexipy}
here=$(cd "$(dirname "$0")" && pwd)
umask 077
mkdir "$directory"
for file in flexisip.conf routes.conf rules.conf; do
    sed "s/myhouse/$name/g" "$here/$file" > "$directory/$file"
done
for user in door screen alice bob; do
    printf '%s@%s ' "$user" "$name"
    "$flexipy" passwd "$directory/passwd" add "$user@$name" --generate | sed -n 's/^password: //p'
done | tee "$directory/first-passwords.txt"
"$flexipy" certificate --self-signed "$name" --output "$directory/tls" > /dev/null
"$flexipy" -c "$directory/flexisip.conf" --check
echo "Telephones have to trust $directory/tls/ca.pem. Start with: $flexipy --server proxy -c $directory/flexisip.conf"
