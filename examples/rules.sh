#!/usr/bin/env bash
# No second namespace: rules send everything into the tunnel but what the tunnel itself sends, which carries a mark.
# This is what wg-quick does for AllowedIPs = 0.0.0.0/0, ::/0.
#
#   main (stands for this machine)                                  far
#   [wg] 10.9.0.2, its socket (mark 51820), 192.0.2.2 on eth0 ───  192.0.2.1, [wg] 10.9.0.1, the Internet
#
# Usage: sudo examples/rules.sh [COMMAND ...]    the command runs in main
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

main=ttex-$$-main
mark=51820

stage "$main"
uplink "$main"

device "$main" "$wg" "$typetun"
configure
run wg set "$wg" fwmark "$mark"
addresses "$main"

# Answers that carry the mark are looked up with it as well, or the reverse path filter would drop them.
run ip netns exec "$main" sh -c 'echo 1 > /proc/sys/net/ipv4/conf/all/src_valid_mark'
for family in -4 -6; do
  run ip -n "$main" "$family" route add default dev "$wg" table "$mark"
  run ip -n "$main" "$family" rule add not fwmark "$mark" table "$mark"
  # Before that: what the main table knows better than by its default route (the local network) is left to it.
  run ip -n "$main" "$family" rule add table main suppress_prefixlength 0
done

show "$main" "$@"
