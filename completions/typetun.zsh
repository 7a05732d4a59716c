#compdef typetun
# Completions of typetun for zsh(1).

_typetun_devices() {
  local -a devices=(/var/run/wireguard/*.sock(N:t:r))
  _describe -t devices 'interface' devices
}

_typetun_configs() {
  local -a configs=(/etc/wireguard/*.conf(N:t:r))
  _alternative 'configs:configuration:compadd -a configs' 'files:file:_files -g "*.conf"'
}

_typetun_wg() {
  local -a commands=(
    'show:print configuration and state'
    'showconf:print the configuration as a file'
    'set:change the interface and its peers'
    'setconf:make the configuration that of a file'
    'addconf:add what a file has'
    'syncconf:as setconf, and change only what differs'
    'genkey:print a new private key'
    'genpsk:print a new preshared key'
    'pubkey:turn a private key into its public key'
    'help:print a summary'
  )
  local -a fields=(public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips
    latest-handshakes transfer persistent-keepalive dump)
  local -a scopes=(all interfaces)
  if (( CURRENT == 2 )); then
    _describe -t commands 'command' commands
    return
  fi
  case $words[2],$CURRENT in
    show,3) compadd -a scopes; compadd -- --json; _typetun_devices ;;
    show,4) [[ $words[3] == interfaces ]] || compadd -a fields ;;
    (showconf|set|setconf|addconf|syncconf),3) _typetun_devices ;;
    (setconf|addconf|syncconf),4) _files ;;
    set,*)
      case $words[CURRENT-1] in
        private-key|preshared-key) _files ;;
        peer) compadd -- ${(f)"$(wg show $words[3] peers 2> /dev/null)"} ;;
        listen-port|fwmark|endpoint|persistent-keepalive|allowed-ips) ;;
        *)
          if (( ${words[4,CURRENT-1][(I)peer]} )); then
            compadd -- remove preshared-key endpoint persistent-keepalive allowed-ips peer
          else
            compadd -- listen-port fwmark private-key peer
          fi
          ;;
      esac
      ;;
  esac
}

_typetun_wg_quick() {
  local -a verbs=(
    'up:make an interface from its file'
    'down:take it down again'
    'save:write its state into the file'
    'strip:print the file for wg'
    'help:print a summary'
  )
  if (( CURRENT == 2 )); then
    _describe -t commands 'command' verbs
  elif (( CURRENT == 3 )); then
    _typetun_configs
  fi
}

_typetun_exec() {
  _arguments -S \
    '*-L+[a port here leads to an address in the tunnel]:[bind\:]port\:host\:port: ' \
    '*-R+[a port of the tunnel leads to an address here]:[bind\:]port\:host\:port: ' \
    '*-D+[a SOCKS5 proxy into the tunnel]:[bind\:]port: ' \
    '*--http-proxy=[an HTTP proxy into the tunnel]:[bind\:]port: ' \
    '--proxy-auth=[the proxies ask for the name and password in a file]:file:_files' \
    '(-v --verbose)'{-v,--verbose}'[tell what the tunnel does]' \
    '(- *)'{-h,--help}'[print a summary]' \
    '1:configuration:_typetun_configs' \
    '(-)*:::command:_normal'
}

_typetun() {
  local -a commands=(
    'wg:show and change WireGuard interfaces'
    'wg-quick:bring tunnels up and down from files'
    'exec:run a command whose only network is a tunnel'
    'demo:see it work'
    'files:where man pages, units and completions are'
  )
  local -a options=(--foreground --offload= --version --help)
  if (( CURRENT == 2 )); then
    _describe -t commands 'command' commands
    compadd -a options
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
    wg) _typetun_wg ;;
    wg-quick) _typetun_wg_quick ;;
    exec) _typetun_exec ;;
    files) (( CURRENT == 2 )) && compadd -- install ;;
  esac
}

_typetun "$@"
