# The stage for the examples: sourced by them, not run. Needs root, ip, wg and ping.
#
# Nothing here touches the machine's own interfaces: everything happens in namespaces made for it, one of which
# stands for the machine, and another one ("far") for the VPN server with the Internet behind it:
#
#   far: 198.51.100.7 and 2001:db8:7::7 on lo   "the Internet", reached through the tunnel
#        10.9.0.1, fd09::1 on $far_wg           the tunnel's other end
#        192.0.2.1, 2001:db8::1 on eth0         a veth, joined to an eth0 that the example places
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
typetun=${TYPETUN:-$here/../bin/typetun}
far_program=${FAR_PROGRAM:-$typetun}

far=ttex-$$-far
wg=wg$$
far_wg=wgf$$
namespaces=()

# Says what is done, and does it.
run() {
  printf '+ %s\n' "$*"
  "$@"
}

namespace() {
  namespaces+=("$1")
  run ip netns add "$1"
  ip -n "$1" link set lo up
}

# Ends everything, whatever happened. A deleted device ends its daemon, which removes its socket.
strike() {
  local name
  for name in "${namespaces[@]}"; do
    ip -n "$name" link delete "$wg" 2>/dev/null || true
    ip -n "$name" link delete "$far_wg" 2>/dev/null || true
  done
  for name in "${namespaces[@]}"; do
    ip netns delete "$name" 2>/dev/null || true
  done
  for name in "$wg" "$far_wg"; do
    for _ in {1..100}; do
      [[ -e /var/run/wireguard/$name.sock ]] || break
      sleep 0.1
    done
  done
}
trap strike EXIT
trap 'exit 130' INT TERM HUP

# A daemon for a device, in the namespace where its UDP socket is to live.
device() {
  run ip netns exec "$1" $3 "$2"
}

# Usage: stage NAMESPACE. Makes far, and NAMESPACE with eth0 as the only way to it; keys of both ends.
stage() {
  namespace "$far"
  namespace "$1"
  ip link add eth0 netns "$far" type veth peer name eth0 netns "$1"
  private_key=$(wg genkey)
  far_private_key=$(wg genkey)
  far_public_key=$(wg pubkey <<<"$far_private_key")

  ip -n "$far" address add 192.0.2.1/24 dev eth0
  ip -n "$far" address add 2001:db8::1/64 dev eth0 nodad
  ip -n "$far" address add 198.51.100.7/32 dev lo
  ip -n "$far" address add 2001:db8:7::7/128 dev lo
  ip -n "$far" link set eth0 up
  ip netns exec "$far" $far_program "$far_wg"
  wg set "$far_wg" listen-port 51820 private-key <(echo "$far_private_key") \
    peer "$(wg pubkey <<<"$private_key")" allowed-ips 10.9.0.2/32,fd09::2/128
  ip -n "$far" address add 10.9.0.1/24 dev "$far_wg"
  ip -n "$far" address add fd09::1/64 dev "$far_wg" nodad
  ip -n "$far" link set "$far_wg" up
}

# Usage: uplink NAMESPACE. Gives eth0 there its addresses and a default route, as a DHCP client would.
uplink() {
  run ip -n "$1" address add 192.0.2.2/24 dev eth0
  run ip -n "$1" address add 2001:db8::2/64 dev eth0 nodad
  run ip -n "$1" link set eth0 up
  run ip -n "$1" route add default via 192.0.2.1
  run ip -n "$1" -6 route add default via 2001:db8::1
}

# The whole world through the tunnel. The key comes by a file, so that no argument list shows it.
configure() {
  printf '+ wg set %s private-key ... peer ... endpoint 192.0.2.1:51820 allowed-ips 0.0.0.0/0,::/0\n' "$wg"
  wg set "$wg" private-key <(echo "$private_key") \
    peer "$far_public_key" endpoint 192.0.2.1:51820 allowed-ips 0.0.0.0/0,::/0
}

# Usage: addresses NAMESPACE. The tunnel's addresses on the device, which comes up.
addresses() {
  run ip -n "$1" address add 10.9.0.2/24 dev "$wg"
  run ip -n "$1" address add fd09::2/64 dev "$wg" nodad
  run ip -n "$1" link set "$wg" up
}

# Usage: show NAMESPACE [COMMAND ...]. Runs the command there, or shows that the Internet is reached.
show() {
  local ns=$1
  shift
  if [[ $# -gt 0 ]]; then
    run ip netns exec "$ns" "$@"
  else
    run ip -n "$ns" -brief link
    run ip netns exec "$ns" ping -n -q -c 3 -i 0.2 -w 10 198.51.100.7
    run ip netns exec "$ns" ping -n -q -c 3 -i 0.2 -w 10 2001:db8:7::7
    run wg show "$wg" transfer
  fi
}
