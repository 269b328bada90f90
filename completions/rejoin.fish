# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rejoin_global_optspecs
    string join \n h/help V/version
end

function __fish_rejoin_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rejoin_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rejoin_using_subcommand
    set -l cmd (__fish_rejoin_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rejoin -n "__fish_rejoin_needs_command" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_needs_command" -s V -l version -d 'Print version'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "send" -d 'Send files and directories'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "tx" -d 'Send files and directories'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "receive" -d 'Receive what another machine sends'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "rx" -d 'Receive what another machine sends'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "recv" -d 'Receive what another machine sends'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "resume" -d 'Continue a stored session in its stored role'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "sessions" -d 'List, show, discard the sessions that this machine keeps'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "stats" -d 'Show what recovery has done on this machine so far; nothing is sent anywhere'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "host" -d 'Be the host where senders and receivers meet'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "demo" -d 'Show the main job on this machine, with real processes, in a few seconds'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "completions" -d 'Print a completion script for a shell'
complete -c rejoin -n "__fish_rejoin_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l code -d 'Use this code instead of a fresh one' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l code-file -d 'Read the code from a file (`-`: standard input)' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l code-out -d 'Write the code to a file, readable by you only, as soon as it is known' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l words -d 'Words in a fresh code' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l new -d 'Start afresh, whatever unfinished session of these paths there is'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l code -d 'Use this code instead of a fresh one' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l code-file -d 'Read the code from a file (`-`: standard input)' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l code-out -d 'Write the code to a file, readable by you only, as soon as it is known' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l words -d 'Words in a fresh code' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l new -d 'Start afresh, whatever unfinished session of these paths there is'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand tx" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l code-file -d 'Read the code from a file (`-`: standard input)' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -s o -l out -d 'Directory to receive into' -r -f -a "(__fish_complete_directories)"
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l on-conflict -d 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]' -r -f -a "skip\t'Leave it, and count that as done'
overwrite\t'Replace it'
rename\t'Leave it, and write the new one under another name'
fail\t'Leave it, list it, receive the rest, exit with code 7'"
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l max-size -d 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l max-files -d 'Refuse more files, or more directories, than this' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l wait -d 'Wait this long for a sender that is not there yet' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -s y -l yes -d 'Accept without asking; existing files that differ stay, see --on-conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l overwrite -d 'Short for --on-conflict overwrite'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l checksum -d 'Compare existing files by content, not by size and modification time'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l follow-target -d 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand receive" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l code-file -d 'Read the code from a file (`-`: standard input)' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -s o -l out -d 'Directory to receive into' -r -f -a "(__fish_complete_directories)"
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l on-conflict -d 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]' -r -f -a "skip\t'Leave it, and count that as done'
overwrite\t'Replace it'
rename\t'Leave it, and write the new one under another name'
fail\t'Leave it, list it, receive the rest, exit with code 7'"
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l max-size -d 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l max-files -d 'Refuse more files, or more directories, than this' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l wait -d 'Wait this long for a sender that is not there yet' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -s y -l yes -d 'Accept without asking; existing files that differ stay, see --on-conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l overwrite -d 'Short for --on-conflict overwrite'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l checksum -d 'Compare existing files by content, not by size and modification time'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l follow-target -d 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand rx" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l code-file -d 'Read the code from a file (`-`: standard input)' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -s o -l out -d 'Directory to receive into' -r -f -a "(__fish_complete_directories)"
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l on-conflict -d 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]' -r -f -a "skip\t'Leave it, and count that as done'
overwrite\t'Replace it'
rename\t'Leave it, and write the new one under another name'
fail\t'Leave it, list it, receive the rest, exit with code 7'"
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l max-size -d 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l max-files -d 'Refuse more files, or more directories, than this' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l wait -d 'Wait this long for a sender that is not there yet' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -s y -l yes -d 'Accept without asking; existing files that differ stay, see --on-conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l overwrite -d 'Short for --on-conflict overwrite'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l checksum -d 'Compare existing files by content, not by size and modification time'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l follow-target -d 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand recv" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l on-conflict -d 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]' -r -f -a "skip\t'Leave it, and count that as done'
overwrite\t'Replace it'
rename\t'Leave it, and write the new one under another name'
fail\t'Leave it, list it, receive the rest, exit with code 7'"
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l host -d 'Host to meet at (ws:// or wss://); repeat to try several in order' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l stun -d 'STUN server (stun:HOST:PORT); repeatable, empty for none' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l turn -d 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l timeout -d 'Give up after this long, whatever happens (exit code 124; progress is kept)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l retry-for -d 'Look for a lost connection for this long' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l bwlimit -d 'Send at most so many bytes a second (500k, 10M)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l profile -d 'Intervals and tries for a kind of network; the options below override it' -r -f -a "default\t'For most networks'
corporate\t'Firewalls that let go of idle paths early, and relays that are slow to answer'
mobile\t'Networks that change under way: notices early, tries often'
low-latency\t'Paths without loss and delay: notices a loss within three seconds'"
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l ping-interval -d 'Between two pings (1s to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l ping-misses -d 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l ice-grace -d 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l ice-tries -d 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l ice-delay -d 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l reconnect-tries -d 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l reconnect-delay -d 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l stall-timeout -d 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l buffer-limit -d 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l datagram-bytes -d 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l progress -d 'How progress is shown' -r -f -a "auto\t'A bar on a terminal, else a line now and then'
bar\t'A bar'
plain\t'A line every ten seconds'
none\t'Nothing'"
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -s y -l yes -d 'Accept without asking; existing files that differ stay untouched'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l overwrite -d 'Short for --on-conflict overwrite'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l checksum -d 'Compare existing files by content, not by size and modification time'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l follow-target -d 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l direct-only -d 'Never go through a TURN server'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l relay-only -d 'Go through a TURN server only'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l no-confinement -d 'Do not let the kernel (Landlock) close to this run what it does not need'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l plain -d 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -l json -d 'Print one JSON object a line on standard output'
complete -c rejoin -n "__fish_rejoin_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "list" -d 'List the stored sessions, the newest first'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "show" -d 'Show one session'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "discard" -d 'Forget a session, and remove its partial files; what is complete stays'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "prune" -d 'Discard what nobody used for seven days'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "invite" -d 'Print a one-time code for a receiver that lost its session'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and not __fish_seen_subcommand_from list show discard prune invite help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from list" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from list" -l json -d 'One JSON object a line'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from show" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from show" -l json -d 'One JSON object a line'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from discard" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from discard" -l json -d 'One JSON object a line'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from discard" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from prune" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from prune" -l json -d 'One JSON object a line'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from invite" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from invite" -l json -d 'One JSON object a line'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from invite" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the stored sessions, the newest first'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show one session'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "discard" -d 'Forget a session, and remove its partial files; what is complete stays'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "prune" -d 'Discard what nobody used for seven days'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "invite" -d 'Print a one-time code for a receiver that lost its session'
complete -c rejoin -n "__fish_rejoin_using_subcommand sessions; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rejoin -n "__fish_rejoin_using_subcommand stats" -l state-dir -d 'Directory where sessions are stored' -r -F
complete -c rejoin -n "__fish_rejoin_using_subcommand stats" -l json -d 'One JSON object'
complete -c rejoin -n "__fish_rejoin_using_subcommand stats" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l listen -d 'Address and port to listen on (port 0: a free one)' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l public-url -d 'What members connect to, where that is another address' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l max-rooms -d 'Rooms open at once' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l max-members -d 'Members in a room' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l room-lease -d 'How long a room lives without its owner' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l log-format -d 'How log lines look' -r -f -a "text\t''
json\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand host" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand demo" -l log -d 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v' -r
complete -c rejoin -n "__fish_rejoin_using_subcommand demo" -l color -d 'Colours' -r -f -a "auto\t''
always\t''
never\t''"
complete -c rejoin -n "__fish_rejoin_using_subcommand demo" -s q -l quiet -d 'Print errors only'
complete -c rejoin -n "__fish_rejoin_using_subcommand demo" -s v -l verbose -d 'Print more; repeat for the log (-vv, -vvv)'
complete -c rejoin -n "__fish_rejoin_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rejoin -n "__fish_rejoin_using_subcommand completions" -s h -l help -d 'Print help'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "send" -d 'Send files and directories'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "receive" -d 'Receive what another machine sends'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "resume" -d 'Continue a stored session in its stored role'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "sessions" -d 'List, show, discard the sessions that this machine keeps'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "stats" -d 'Show what recovery has done on this machine so far; nothing is sent anywhere'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "host" -d 'Be the host where senders and receivers meet'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "demo" -d 'Show the main job on this machine, with real processes, in a few seconds'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "completions" -d 'Print a completion script for a shell'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and not __fish_seen_subcommand_from send receive resume sessions stats host demo completions help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "list" -d 'List the stored sessions, the newest first'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "show" -d 'Show one session'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "discard" -d 'Forget a session, and remove its partial files; what is complete stays'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "prune" -d 'Discard what nobody used for seven days'
complete -c rejoin -n "__fish_rejoin_using_subcommand help; and __fish_seen_subcommand_from sessions" -f -a "invite" -d 'Print a one-time code for a receiver that lost its session'
