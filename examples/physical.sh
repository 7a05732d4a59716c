#!/usr/bin/env bash
# The other way round: the physical interfaces move to a namespace of their own, and the main one keeps the tunnel
# alone. Ordinary programs cannot send anything past the tunnel, and a DHCP client or wpa_supplicant runs in
# "physical" (ip netns exec physical ...).
#
#   main (stands for this machine)      physical                             far
#   [wg] 10.9.0.2                 ....  socket of wg, 192.0.2.2 on eth0 ──  192.0.2.1, [wg] 10.9.0.1, the Internet
#
# Usage: sudo examples/physical.sh [COMMAND ...]    the command runs in main
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

main=ttex-$$-main
physical=ttex-$$-physical

stage "$main"
uplink "$main"

# Moving an interface takes its addresses and routes away: it gets them again where it is now.
namespace "$physical"
run ip -n "$main" link set eth0 netns "$physical"
uplink "$physical"

# The device is born in physical, where its socket stays, and moves to main. (On a real machine: netns 1.)
device "$physical" "$wg" "$typetun"
configure
run ip -n "$physical" link set "$wg" netns "$main"
addresses "$main"
run ip -n "$main" route add default dev "$wg"
run ip -n "$main" -6 route add default dev "$wg"

show "$main" "$@"
