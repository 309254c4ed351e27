#!/bin/sh
# Installs the programs that the scenario tests drive: SIP clients, a browser, media tools. Needs Debian and either
# root or sudo without a password; elsewhere it says what is missing and leaves, and those tests are skipped.
set -eu
cd "$(dirname "$0")"

packages="sip-tester sipsak baresip-core baresip-ffmpeg linphone-cli libmediastreamer-data chromium stun-client"
packages="$packages mediastreamer2-plugin-openh264 rtpengine-daemon avahi-daemon avahi-utils dbus"
# Whoever has node already need not have Debian's.
command -v node > /dev/null || packages="$packages nodejs"
command -v npm > /dev/null || packages="$packages npm"
missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "scenario tests: not installed and not allowed to install:$missing" >&2
        missing=""
    fi
fi
if [ -n "$missing" ]; then
    # RUNLEVEL keeps services from starting.
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends $missing > /dev/null
fi

if command -v npm > /dev/null; then
    (cd scenarios/browser && npm ci --no-audit --no-fund > /dev/null)
fi
