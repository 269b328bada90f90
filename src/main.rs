//! The `rejoin` command: everything it does is in the library and, for arguments and printing, in `cli`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
