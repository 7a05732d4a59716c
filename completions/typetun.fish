# Completions of typetun for fish(1).

# What is on the line, without options of typetun's own and without the word being completed.
function __typetun_words
    set -l words (commandline -opc)
    set -e words[1]
    set -q words[1]; and printf '%s\n' $words
end

# Whether the words so far are these, and how many more there are: __typetun_at 1 wg show
function __typetun_at
    set -l words (__typetun_words)
    set -l more $argv[1]
    set -l prefix $argv[2..-1]
    test (count $words) -eq (math (count $prefix) + $more); or return 1
    for i in (seq (count $prefix))
        contains -- $words[$i] (string split , -- $prefix[$i]); or return 1
    end
end

function __typetun_devices
    for path in /var/run/wireguard/*.sock
        string replace -r '.*/(.*)\.sock$' '$1' -- $path
    end
end

function __typetun_configs
    for path in /etc/wireguard/*.conf
        string replace -r '.*/(.*)\.conf$' '$1' -- $path
    end
end

# In `wg set`: which words may come.
function __typetun_set_words
    set -l words (__typetun_words)
    switch $words[-1]
        case listen-port fwmark private-key preshared-key endpoint persistent-keepalive allowed-ips
            return
        case peer
            wg show $words[3] peers 2>/dev/null
            return
    end
    if contains -- peer $words[4..-1]
        printf '%s\n' remove preshared-key endpoint persistent-keepalive allowed-ips peer
    else
        printf '%s\n' listen-port fwmark private-key peer
    end
end

function __typetun_in_set
    set -l words (__typetun_words)
    test (count $words) -ge 3; and test "$words[1] $words[2]" = 'wg set'
end

function __typetun_in_set_file
    set -l words (__typetun_words)
    __typetun_in_set; and contains -- $words[-1] private-key preshared-key
end

# Whether what comes next in `exec` is all of these: one of the options, the configuration, the command or a word of its.
function __typetun_in_exec
    set -l words (__typetun_words)
    test "$words[1]" = exec; or return
    set -l next options config
    set -l value
    for word in $words[2..-1]
        if set -q value[1]
            set value
            continue
        end
        switch $word
            case -L -R -D --http-proxy --proxy-auth
                set value $word
            case --
                set next command
                break
            case '-*'
            case '*'
                if contains config -- $next
                    set next options command
                else
                    set next command
                    break
                end
        end
    end
    for wanted in $argv
        contains -- $wanted $next; or return 1
    end
end

complete -c typetun -f
complete -c typetun -n '__typetun_at 0' -s f -l foreground -d 'stay in the foreground'
complete -c typetun -n '__typetun_at 0' -l offload -x -d 'batching to do without'
complete -c typetun -n '__typetun_at 0' -l version -d 'print the version'
complete -c typetun -n '__typetun_at 0' -s h -l help -d 'print a summary'
complete -c typetun -n '__typetun_at 0' -a wg -d 'show and change WireGuard interfaces'
complete -c typetun -n '__typetun_at 0' -a wg-quick -d 'bring tunnels up and down from files'
complete -c typetun -n '__typetun_at 0' -a exec -d 'run a command whose only network is a tunnel'
complete -c typetun -n '__typetun_at 0' -a demo -d 'see it work'
complete -c typetun -n '__typetun_at 0' -a files -d 'where man pages, units and completions are'

complete -c typetun -n '__typetun_at 0 wg' -a show -d 'print configuration and state'
complete -c typetun -n '__typetun_at 0 wg' -a showconf -d 'print the configuration as a file'
complete -c typetun -n '__typetun_at 0 wg' -a set -d 'change the interface and its peers'
complete -c typetun -n '__typetun_at 0 wg' -a setconf -d 'make the configuration that of a file'
complete -c typetun -n '__typetun_at 0 wg' -a addconf -d 'add what a file has'
complete -c typetun -n '__typetun_at 0 wg' -a syncconf -d 'as setconf, and change only what differs'
complete -c typetun -n '__typetun_at 0 wg' -a genkey -d 'print a new private key'
complete -c typetun -n '__typetun_at 0 wg' -a genpsk -d 'print a new preshared key'
complete -c typetun -n '__typetun_at 0 wg' -a pubkey -d 'turn a private key into its public key'
complete -c typetun -n '__typetun_at 0 wg' -a help -d 'print a summary'
complete -c typetun -n '__typetun_at 0 wg show' -a 'all interfaces --json (__typetun_devices)'
complete -c typetun -n '__typetun_at 0 wg showconf,set,setconf,addconf,syncconf' -a '(__typetun_devices)'
complete -c typetun -n '__typetun_at 1 wg show' -a 'public-key private-key listen-port fwmark peers preshared-keys endpoints allowed-ips latest-handshakes transfer persistent-keepalive dump'
complete -c typetun -n '__typetun_at 1 wg setconf,addconf,syncconf' -F
complete -c typetun -n __typetun_in_set -a '(__typetun_set_words)'
complete -c typetun -n __typetun_in_set_file -F

complete -c typetun -n '__typetun_at 0 wg-quick' -a up -d 'make an interface from its file'
complete -c typetun -n '__typetun_at 0 wg-quick' -a down -d 'take it down again'
complete -c typetun -n '__typetun_at 0 wg-quick' -a save -d 'write its state into the file'
complete -c typetun -n '__typetun_at 0 wg-quick' -a strip -d 'print the file for wg'
complete -c typetun -n '__typetun_at 0 wg-quick' -a help -d 'print a summary'
complete -c typetun -n '__typetun_at 0 wg-quick up,down,save,strip' -a '(__typetun_configs)' -F

complete -c typetun -n '__typetun_in_exec options' -s L -x -d 'a port here leads to an address in the tunnel'
complete -c typetun -n '__typetun_in_exec options' -s R -x -d 'a port of the tunnel leads to an address here'
complete -c typetun -n '__typetun_in_exec options' -s D -x -d 'a SOCKS5 proxy into the tunnel'
complete -c typetun -n '__typetun_in_exec options' -l http-proxy -x -d 'an HTTP proxy into the tunnel'
complete -c typetun -n '__typetun_in_exec options' -l proxy-auth -r -F -d 'a file with the name and password of the proxies'
complete -c typetun -n '__typetun_in_exec options' -s v -l verbose -d 'tell what the tunnel does'
complete -c typetun -n '__typetun_in_exec options' -s h -l help -d 'print a summary'
complete -c typetun -n '__typetun_in_exec options config' -a '(__typetun_configs)' -F
complete -c typetun -n '__typetun_in_exec command' -a '(__fish_complete_command)' -F
complete -c typetun -n '__typetun_at 0 files' -a install -d 'copy them below a directory'
