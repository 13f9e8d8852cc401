#!/bin/sh
# Installs the Debian packages that lab, demo and tests need, and those named as
# arguments, as far as they are missing.
# It starts no service, touches no configuration of Postfix or Dovecot that is there,
# and removes no package. With everything in place it does nothing.
set -eu

packages='postfix dovecot-core dovecot-imapd dovecot-lmtpd openssl libxml2-utils ca-certificates'
packages="$packages protobuf-compiler python3-grpcio python3-protobuf python3-cryptography"
packages="$packages clamav-daemon" # brings clamav-freshclam, which fetches nothing unless it is started
packages="$packages gcc libc6-dev softhsm2 opensc" # the plug-in pkcs11 and its tests; none of them has a service
packages="$packages smstools" # a real smsd, for the tests of plugins/sms
packages="$packages $*"

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }

missing=
for p in $packages; do
	installed "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

fail() {
	echo "$1" >&2
	exit 1
}

if [ "$(id -u)" = 0 ]; then
	as_root() { "$@"; }
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root() { sudo -n "$@"; }
else
	fail "These packages are missing:$missing. Install them as root, or run this as root."
fi

echo "Installing:$missing"
as_root apt-get -qq update || fail "The package lists cannot be fetched: see apt-get update."

# A mail server that is there would have to go: that is not ours to decide.
plan=$(as_root apt-get -s -qq --no-install-recommends install $missing) || fail "apt-get cannot install$missing."
removed=$(echo "$plan" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' ')
[ -z "$removed" ] || fail "Installing$missing would remove: ${removed}. Use a machine or container without another mail server."

# invoke-rc.d asks this program whether a service may start: 101 is no.
policy=/usr/sbin/policy-rc.d
kept=
restore() {
	[ -z "$written" ] || as_root rm -f "$policy"
	[ -z "$kept" ] || as_root mv "$kept" "$policy"
}
written=
trap restore EXIT
trap 'exit 1' HUP INT TERM
if [ -e "$policy" ]; then
	kept=$policy.ceralacca-kept
	as_root mv "$policy" "$kept"
fi
printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
written=yes
as_root chmod 0755 "$policy"

# The services that may come with them, of packages that are not there yet.
services=
for s in postfix:postfix.service dovecot-core:dovecot.service clamav-daemon:clamav-daemon.service \
	clamav-daemon:clamav-daemon.socket smstools:smstools.service clamav-freshclam:clamav-freshclam.service; do
	installed "${s%%:*}" || services="$services ${s#*:}"
done

case $missing in
*postfix*) echo 'postfix postfix/main_mailer_type select No configuration' | as_root debconf-set-selections ;;
esac
as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends --no-remove install $missing >/dev/null ||
	fail "apt-get could not install$missing."

# Nor shall they start with the machine: whoever wants them as servers enables them.
if command -v systemctl >/dev/null; then
	for s in $services; do
		as_root systemctl --quiet disable "$s" 2>/dev/null || true # one that did not come is none
	done
fi
