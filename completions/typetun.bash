# Completions of typetun for bash(1).

_typetun_devices() {
  local path
  for path in /var/run/wireguard/*.sock; do
    path=${path##*/}
    [ "$path" = '*.sock' ] || echo "${path%.sock}"
  done
}

_typetun_configs() {
  local path
  for path in /etc/wireguard/*.conf; do
    path=${path##*/}
    [ "$path" = '*.conf' ] || echo "${path%.conf}"
  done
}

_typetun_files() {
  local path
  compopt -o filenames 2> /dev/null
  while IFS= read -r path; do
    COMPREPLY+=("$path")
  done < <(compgen -f ${1:+-X "!*$1"} -- "$cur"; [ -z "$1" ] || compgen -d -- "$cur")
}

_typetun_words() {
  local word
  while IFS= read -r word; do
    COMPREPLY+=("$word")
  done < <(compgen -W "$1" -- "$cur")
}

_typetun_wg() {
  local fields='public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips latest-handshakes transfer persistent-keepalive dump'
  local previous=${words[*]: -1} i in_peer=''
  case ${#words[@]},${words[0]-} in
  0,*) _typetun_words 'show showconf set setconf addconf syncconf genkey genpsk pubkey help' ;;
  1,show) _typetun_words "all interfaces --json $(_typetun_devices)" ;;
  1,showconf | 1,set | 1,setconf | 1,addconf | 1,syncconf) _typetun_words "$(_typetun_devices)" ;;
  2,show) [ "${words[1]}" = interfaces ] || _typetun_words "$fields" ;;
  2,setconf | 2,addconf | 2,syncconf) _typetun_files '' ;;
  *,set)
    for i in "${words[@]:2}"; do [ "$i" != peer ] || in_peer=1; done
    case $previous in
    private-key | preshared-key) _typetun_files '' ;;
    peer) _typetun_words "$(wg show "${words[1]}" peers 2> /dev/null)" ;;
    listen-port | fwmark | endpoint | persistent-keepalive | allowed-ips) ;;
    *)
      if [ -n "$in_peer" ]; then
        _typetun_words 'remove preshared-key endpoint persistent-keepalive allowed-ips peer'
      else
        _typetun_words 'listen-port fwmark private-key peer'
      fi
      ;;
    esac
    ;;
  esac
}

_typetun_wg_quick() {
  case ${#words[@]} in
  0) _typetun_words 'up down save strip help' ;;
  1)
    _typetun_words "$(_typetun_configs)"
    _typetun_files .conf
    ;;
  esac
}

# Options, a configuration, then somebody else's command.
_typetun_exec() {
  # By white space alone: bash cuts words at `:` and `=` as well.
  local line=${COMP_LINE:0:COMP_POINT} word config='' option=''
  local partial=${line##*[[:space:]]} before
  read -ra before <<< "${line%"$partial"}"
  for word in "${before[@]:2}"; do
    case ${option:+value}$word in
    value*) option='' ;;
    -L | -R | -D | --http-proxy | --proxy-auth) option=$word ;;
    --) config=-- ;;
    -*) ;;
    *)
      # The command, and what is behind it.
      [ -z "$config" ] || { _typetun_files '' && return; }
      config=$word
      ;;
    esac
  done
  case ${option:+$option=}$partial in
  --proxy-auth=*)
    [ "$cur" != = ] || cur=''
    _typetun_files ''
    return
    ;;
  --http-proxy=* | -[LRD]?*) return ;;
  esac
  if [ "$config" != -- ]; then
    _typetun_words '-L -R -D --http-proxy= --proxy-auth= --verbose --help'
    [ "${COMPREPLY[*]}" = "${COMPREPLY[*]%=}" ] || compopt -o nospace 2> /dev/null
  fi
  if [ -z "$config" ]; then
    _typetun_words "$(_typetun_configs)"
    _typetun_files .conf
  elif [ -n "$cur" ]; then
    _typetun_words "$(compgen -c -- "$cur")"
    _typetun_files ''
  fi
}

_typetun() {
  local cur=${COMP_WORDS[COMP_CWORD]}
  local words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
  COMPREPLY=()
  if [ ${#words[@]} -eq 0 ]; then
    _typetun_words 'wg wg-quick exec demo files --foreground --offload= --version --help'
    return
  fi
  local command=${words[0]}
  words=("${words[@]:1}")
  case $command in
  wg) _typetun_wg ;;
  wg-quick) _typetun_wg_quick ;;
  exec) _typetun_exec ;;
  files) [ ${#words[@]} -ne 0 ] || _typetun_words install ;;
  esac
}

complete -F _typetun typetun
