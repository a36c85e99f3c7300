"""How letters go out: claimed with a lease, sent once it is their channel's turn, tried again, recorded."""
