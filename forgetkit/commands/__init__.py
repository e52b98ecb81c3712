"""One file, one subcommand: options and help; read, call the method, write."""
