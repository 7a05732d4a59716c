// Configures a device by wgctrl, the library that Go's WireGuard programs use, and prints what it reads back.
//
//	wgctrl INTERFACE < keys      four lines of base64: a private key, three public keys
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string) error {
	keys, err := readKeys()
	if err != nil {
		return err
	}
	client, err := wgctrl.New()
	if err != nil {
		return err
	}
	defer client.Close()
	if err := configure(client, name, keys); err != nil {
		return err
	}
	devices, err := client.Devices()
	if err != nil {
		return err
	}
	found := 0
	for _, device := range devices {
		if device.Name == name {
			found++
		}
	}
	device, err := client.Device(name)
	if err != nil {
		return err
	}
	peers := []map[string]any{}
	for _, peer := range device.Peers {
		endpoint := ""
		if peer.Endpoint != nil {
			endpoint = peer.Endpoint.String()
		}
		allowed := []string{}
		for _, prefix := range peer.AllowedIPs {
			allowed = append(allowed, prefix.String())
		}
		peers = append(peers, map[string]any{
			"publicKey":       peer.PublicKey.String(),
			"hasPresharedKey": peer.PresharedKey != wgtypes.Key{},
			"endpoint":        endpoint,
			"keepalive":       peer.PersistentKeepaliveInterval.Seconds(),
			"allowedIPs":      allowed,
			"handshake":       !peer.LastHandshakeTime.IsZero(),
			"protocolVersion": peer.ProtocolVersion,
		})
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{
		"found":     found,
		"type":      device.Type.String(),
		"publicKey": device.PublicKey.String(),
		"port":      device.ListenPort,
		"mark":      device.FirewallMark,
		"peers":     peers,
	})
}

func readKeys() ([]wgtypes.Key, error) {
	var keys []wgtypes.Key
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		key, err := wgtypes.ParseKey(lines.Text())
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) != 4 {
		return nil, fmt.Errorf("expected four keys, got %d", len(keys))
	}
	return keys, lines.Err()
}

// Three peers with everything that one can have, then changes that touch one field each, and a refusal.
func configure(client *wgctrl.Client, name string, keys []wgtypes.Key) error {
	port, mark, keepalive := 51871, 0xca6c, 25*time.Second
	psk, err := wgtypes.GenerateKey()
	if err != nil {
		return err
	}
	first := wgtypes.Config{
		PrivateKey:   &keys[0],
		ListenPort:   &port,
		FirewallMark: &mark,
		ReplacePeers: true,
		Peers: []wgtypes.PeerConfig{
			{PublicKey: keys[1], PresharedKey: &psk, PersistentKeepaliveInterval: &keepalive, ReplaceAllowedIPs: true,
				Endpoint: &net.UDPAddr{IP: net.ParseIP("192.0.2.7"), Port: 1}, AllowedIPs: prefixes("10.0.1.0/24", "fd00:1::/64")},
			{PublicKey: keys[2], ReplaceAllowedIPs: true,
				Endpoint: &net.UDPAddr{IP: net.ParseIP("2001:db8::7"), Port: 2}, AllowedIPs: prefixes("10.0.2.0/24")},
			{PublicKey: keys[3], AllowedIPs: prefixes("0.0.0.0/0", "::/0")},
		},
	}
	if err := client.ConfigureDevice(name, first); err != nil {
		return err
	}
	more := wgtypes.Config{Peers: []wgtypes.PeerConfig{
		{PublicKey: keys[2], UpdateOnly: true, AllowedIPs: prefixes("10.0.3.0/24")},
		{PublicKey: psk.PublicKey(), UpdateOnly: true, AllowedIPs: prefixes("10.9.0.0/16")},
		{PublicKey: keys[3], ReplaceAllowedIPs: true, AllowedIPs: prefixes("10.0.4.0/24")},
	}}
	if err := client.ConfigureDevice(name, more); err != nil {
		return err
	}
	tooLarge := 1 << 20
	if err := client.ConfigureDevice(name, wgtypes.Config{ListenPort: &tooLarge}); err == nil {
		return fmt.Errorf("port %d was taken", tooLarge)
	}
	if _, err := client.Device("no-such-device"); !os.IsNotExist(err) {
		return fmt.Errorf("a device that does not exist: %v", err)
	}
	return nil
}

func prefixes(texts ...string) []net.IPNet {
	var found []net.IPNet
	for _, text := range texts {
		_, prefix, err := net.ParseCIDR(text)
		if err != nil {
			panic(err)
		}
		found = append(found, *prefix)
	}
	return found
}
