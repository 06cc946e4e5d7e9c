# an index that is not clamped
> refused: in no table whatever the index
    mov eax, esi
    shl rax, 5
    mov rdx, [rdi + rax + entries]
    mov eax, esi
    ret

# clamped beyond the null entry
> refused: in no table whatever the index
    mov eax, esi
    mov ecx, 21
    cmp rax, 21
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdi + rax + entries]
    mov eax, esi
    ret

# an index that is not a whole entry's
> refused: which field of which entry
    mov eax, esi
    and eax, 15
    shl rax, 4
    mov rdx, [rdi + rax + entries]
    mov eax, esi
    ret

# the reference in an entry
> refused: no use for this field
    mov rdx, [rdi + entries + 24]
    mov eax, esi
    ret

# half a field
> refused: which field of which entry
    mov edx, [rdi + entries]
    mov eax, esi
    ret

# a lent table, clamped to the own table's bound
> refused: not bounded by the table's own bound
    mov rdx, [rdi + lent_table]
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret

# before a table's first entry, by an index
> refused: in no table whatever the index
    mov eax, esi
    and eax, 1
    shl rax, 5
    mov rdx, [rdi + rax + entries - 24]
    mov eax, esi
    ret

# the first entry of a lent table, which may have none
> refused: not bounded by the table's own bound
    mov rdx, [rdi + lent_table]
    mov rdx, [rdx]
    mov rdx, [rdx + 8]
    mov eax, esi
    ret

# a lent table, clamped to its own bound, and an index added
> refused: not bounded by the table's own bound
    mov rdx, [rdi + lent_table]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdx]
    add rdx, rax
    mov ecx, esi
    and ecx, 32
    mov rdx, [rdx + rcx + 8]
    mov eax, esi
    ret

# an entry behind the one that an index chooses
> refused: which field of which entry
    mov eax, esi
    mov ecx, 10
    cmp rax, 10
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdi + rax + entries + 32]
    mov eax, esi
    ret

# an entry by the sum of two indices, which has no name
> refused: which field of which entry
    mov eax, esi
    and eax, 0xe0
    mov ecx, esi
    and ecx, 0x60
    add rax, rdi
    mov rdx, [rax + rcx + entries]
    mov eax, esi
    ret

# an index times eight
> refused: which field of which entry
    mov eax, esi
    and eax, 63
    lea rax, [rax*8]
    mov rdx, [rdi + rax + entries]
    mov eax, esi
    ret

# an index clamped to a lent table's bound in bytes, which need not be whole entries
> refused: the index is not bounded by the table's own bound
    mov rdx, [rdi + lent_table]
    mov eax, esi
    mov rcx, [rdx + 16]
    shl rcx, 5
    cmp rax, rcx
    cmova rax, rcx
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret
