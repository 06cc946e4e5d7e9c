# something that is no padding after the function
> refused: something between the functions
> byte after it: 90
    mov eax, esi
    ret

# a thunk that is recorded under another type than its import's
> refused: another type than the contract says
> function: thunk
> type: 0
    ud2         ! unreachable

# a type that does not exist
> refused: type
> type: 99
    mov eax, esi
    ret

# an entry trampoline that is recorded under another type
> refused: another type than the contract says
> function: entry
> type: 1
    ud2         ! unreachable
