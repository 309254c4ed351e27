"""Where users are reachable: bindings of addresses-of-record, GRUUs, static records, stores."""
