# an index that is clamped to the null entry
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    cmp qword [rdi + rax + entries + 8], 0
    mov eax, esi
    ret

# a constant entry
    mov rdx, [rdi + entries + 0x28]
    mov eax, esi
    ret

# a lent table, clamped to its own bound
    mov rdx, [rdi + lent_table]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret

# an index of whole entries, by a mask of it
    mov eax, esi
    and eax, 0x1e0
    mov rdx, [rdi + rax + entries]
    mov eax, esi
    ret

# a lent table, clamped to its first entry
    mov rdx, [rdi + lent_table]
    mov eax, esi
    xor r8d, r8d
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, r8
    shl rax, 5
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret

# a lent table, clamped to its own bound in bytes
    mov rdx, [rdi + lent_table]
    mov eax, esi
    shl rax, 5
    mov rcx, [rdx + 16]
    shl rcx, 5
    cmp rax, rcx
    cmova rax, rcx
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret
