
use builtin;
use str;

set edit:completion:arg-completer[rejoin] = {|@words|
    fn spaces {|n|
        builtin:repeat $n ' ' | str:join ''
    }
    fn cand {|text desc|
        edit:complex-candidate $text &display=$text' '(spaces (- 14 (wcswidth $text)))$desc
    }
    var command = 'rejoin'
    for word $words[1..-1] {
        if (str:has-prefix $word '-') {
            break
        }
        set command = $command';'$word
    }
    var completions = [
        &'rejoin'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand -V 'Print version'
            cand --version 'Print version'
            cand send 'Send files and directories'
            cand tx 'Send files and directories'
            cand receive 'Receive what another machine sends'
            cand rx 'Receive what another machine sends'
            cand recv 'Receive what another machine sends'
            cand resume 'Continue a stored session in its stored role'
            cand sessions 'List, show, discard the sessions that this machine keeps'
            cand stats 'Show what recovery has done on this machine so far; nothing is sent anywhere'
            cand host 'Be the host where senders and receivers meet'
            cand demo 'Show the main job on this machine, with real processes, in a few seconds'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'rejoin;send'= {
            cand --code 'Use this code instead of a fresh one'
            cand --code-file 'Read the code from a file (`-`: standard input)'
            cand --code-out 'Write the code to a file, readable by you only, as soon as it is known'
            cand --words 'Words in a fresh code'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand --new 'Start afresh, whatever unfinished session of these paths there is'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;tx'= {
            cand --code 'Use this code instead of a fresh one'
            cand --code-file 'Read the code from a file (`-`: standard input)'
            cand --code-out 'Write the code to a file, readable by you only, as soon as it is known'
            cand --words 'Words in a fresh code'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand --new 'Start afresh, whatever unfinished session of these paths there is'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;receive'= {
            cand --code-file 'Read the code from a file (`-`: standard input)'
            cand -o 'Directory to receive into'
            cand --out 'Directory to receive into'
            cand --on-conflict 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]'
            cand --max-size 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64'
            cand --max-files 'Refuse more files, or more directories, than this'
            cand --wait 'Wait this long for a sender that is not there yet'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand -y 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --yes 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --overwrite 'Short for --on-conflict overwrite'
            cand --checksum 'Compare existing files by content, not by size and modification time'
            cand --follow-target 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;rx'= {
            cand --code-file 'Read the code from a file (`-`: standard input)'
            cand -o 'Directory to receive into'
            cand --out 'Directory to receive into'
            cand --on-conflict 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]'
            cand --max-size 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64'
            cand --max-files 'Refuse more files, or more directories, than this'
            cand --wait 'Wait this long for a sender that is not there yet'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand -y 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --yes 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --overwrite 'Short for --on-conflict overwrite'
            cand --checksum 'Compare existing files by content, not by size and modification time'
            cand --follow-target 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;recv'= {
            cand --code-file 'Read the code from a file (`-`: standard input)'
            cand -o 'Directory to receive into'
            cand --out 'Directory to receive into'
            cand --on-conflict 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]'
            cand --max-size 'Refuse more bytes than this; a directory counts 4 KiB, beyond the first 64'
            cand --max-files 'Refuse more files, or more directories, than this'
            cand --wait 'Wait this long for a sender that is not there yet'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand -y 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --yes 'Accept without asking; existing files that differ stay, see --on-conflict'
            cand --overwrite 'Short for --on-conflict overwrite'
            cand --checksum 'Compare existing files by content, not by size and modification time'
            cand --follow-target 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;resume'= {
            cand --on-conflict 'What to do about an existing file that differs [default: ask on a terminal without -y, else fail]'
            cand --host 'Host to meet at (ws:// or wss://); repeat to try several in order'
            cand --stun 'STUN server (stun:HOST:PORT); repeatable, empty for none'
            cand --turn 'TURN server (turn:HOST:PORT); repeatable. Credentials: REJOIN_TURN_USERNAME and REJOIN_TURN_PASSWORD, REJOIN_TURN_SECRET, or REJOIN_TURN_CREDENTIALS_COMMAND; never on the command line'
            cand --state-dir 'Directory where sessions are stored'
            cand --timeout 'Give up after this long, whatever happens (exit code 124; progress is kept)'
            cand --retry-for 'Look for a lost connection for this long'
            cand --bwlimit 'Send at most so many bytes a second (500k, 10M)'
            cand --profile 'Intervals and tries for a kind of network; the options below override it'
            cand --ping-interval 'Between two pings (1s to 5m) [default: 5s]'
            cand --ping-misses 'Pings without any sign of life after which the link is dead (1 to 100) [default: 3]'
            cand --ice-grace 'How long ICE may be disconnected before it is restarted (0 to 5m) [default: 5s; 10s on Windows]'
            cand --ice-tries 'ICE restarts in one connection, 0 for none (0 to 100) [default: 3]'
            cand --ice-delay 'Before the second ICE restart, doubled for each later one (100ms to 5m) [default: 5s]'
            cand --reconnect-tries 'Tries of a new connection before the slow pace begins (1 to 100) [default: 5]'
            cand --reconnect-delay 'Before the first of them, doubled for each later one (100ms to 5m) [default: 2s]'
            cand --stall-timeout 'A new connection where nothing comes for this long although the link is there (1s to 1h) [default: 60s; a receiver that waits for content: 15s at most]'
            cand --buffer-limit 'Bytes that may wait in the transport to be sent (64k to 64M) [default: 4M]'
            cand --datagram-bytes 'Largest UDP payload that is tried (1200 to 65000) [default: what the path takes]'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand --progress 'How progress is shown'
            cand -y 'Accept without asking; existing files that differ stay untouched'
            cand --yes 'Accept without asking; existing files that differ stay untouched'
            cand --overwrite 'Short for --on-conflict overwrite'
            cand --checksum 'Compare existing files by content, not by size and modification time'
            cand --follow-target 'Follow a symlink inside the target where a directory is expected, instead of a conflict'
            cand --direct-only 'Never go through a TURN server'
            cand --relay-only 'Go through a TURN server only'
            cand --no-confinement 'Do not let the kernel (Landlock) close to this run what it does not need'
            cand --plain 'Plain WebRTC packets, as browsers send them: slower, and no match for loss'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand --json 'Print one JSON object a line on standard output'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;sessions'= {
            cand -h 'Print help'
            cand --help 'Print help'
            cand list 'List the stored sessions, the newest first'
            cand show 'Show one session'
            cand discard 'Forget a session, and remove its partial files; what is complete stays'
            cand prune 'Discard what nobody used for seven days'
            cand invite 'Print a one-time code for a receiver that lost its session'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'rejoin;sessions;list'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object a line'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;sessions;show'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object a line'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;sessions;discard'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object a line'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;sessions;prune'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object a line'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;sessions;invite'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object a line'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;sessions;help'= {
            cand list 'List the stored sessions, the newest first'
            cand show 'Show one session'
            cand discard 'Forget a session, and remove its partial files; what is complete stays'
            cand prune 'Discard what nobody used for seven days'
            cand invite 'Print a one-time code for a receiver that lost its session'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'rejoin;sessions;help;list'= {
        }
        &'rejoin;sessions;help;show'= {
        }
        &'rejoin;sessions;help;discard'= {
        }
        &'rejoin;sessions;help;prune'= {
        }
        &'rejoin;sessions;help;invite'= {
        }
        &'rejoin;sessions;help;help'= {
        }
        &'rejoin;stats'= {
            cand --state-dir 'Directory where sessions are stored'
            cand --json 'One JSON object'
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;host'= {
            cand --listen 'Address and port to listen on (port 0: a free one)'
            cand --public-url 'What members connect to, where that is another address'
            cand --max-rooms 'Rooms open at once'
            cand --max-members 'Members in a room'
            cand --room-lease 'How long a room lives without its owner'
            cand --log-format 'How log lines look'
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;demo'= {
            cand --log 'What to log, by target: LEVEL or TARGET=LEVEL, with commas (rejoin::ice=debug); beats -v'
            cand --color 'Colours'
            cand -q 'Print errors only'
            cand --quiet 'Print errors only'
            cand -v 'Print more; repeat for the log (-vv, -vvv)'
            cand --verbose 'Print more; repeat for the log (-vv, -vvv)'
            cand -h 'Print help (see more with ''--help'')'
            cand --help 'Print help (see more with ''--help'')'
        }
        &'rejoin;completions'= {
            cand -h 'Print help'
            cand --help 'Print help'
        }
        &'rejoin;help'= {
            cand send 'Send files and directories'
            cand receive 'Receive what another machine sends'
            cand resume 'Continue a stored session in its stored role'
            cand sessions 'List, show, discard the sessions that this machine keeps'
            cand stats 'Show what recovery has done on this machine so far; nothing is sent anywhere'
            cand host 'Be the host where senders and receivers meet'
            cand demo 'Show the main job on this machine, with real processes, in a few seconds'
            cand completions 'Print a completion script for a shell'
            cand help 'Print this message or the help of the given subcommand(s)'
        }
        &'rejoin;help;send'= {
        }
        &'rejoin;help;receive'= {
        }
        &'rejoin;help;resume'= {
        }
        &'rejoin;help;sessions'= {
            cand list 'List the stored sessions, the newest first'
            cand show 'Show one session'
            cand discard 'Forget a session, and remove its partial files; what is complete stays'
            cand prune 'Discard what nobody used for seven days'
            cand invite 'Print a one-time code for a receiver that lost its session'
        }
        &'rejoin;help;sessions;list'= {
        }
        &'rejoin;help;sessions;show'= {
        }
        &'rejoin;help;sessions;discard'= {
        }
        &'rejoin;help;sessions;prune'= {
        }
        &'rejoin;help;sessions;invite'= {
        }
        &'rejoin;help;stats'= {
        }
        &'rejoin;help;host'= {
        }
        &'rejoin;help;demo'= {
        }
        &'rejoin;help;completions'= {
        }
        &'rejoin;help;help'= {
        }
    ]
    $completions[$command]
}
