# an index scaled beyond reservation and guard (CVE-2023-26489)
> refused: it may reach
    mov eax, esi
    mov eax, [rdi + rax*8]          ! memory
    ret

# the same by a shift
> refused: it may reach
    mov eax, esi
    shl rax, 3
    mov eax, [rdi + rax]            ! memory
    ret

# two indices
> refused: it may reach
    mov eax, esi
    lea rax, [rax + rax]
    mov eax, [rdi + rax]            ! memory
    ret

# dense: no clamp
> layout: dense
> refused: it may reach
    mov eax, esi
    mov eax, [rdi + rax]            ! memory
    ret

# dense: a clamp by a branch, which misprediction skips
> layout: dense
> refused: it may reach
    mov eax, esi
    cmp rax, 0x1000
    ja .far
    mov eax, [rdi + rax]            ! memory
    ret
.far:
    ud2                             ! unreachable

# dense: the clamp's condition is inverted
> layout: dense
> refused: it may reach
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmovbe rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: the clamp compares as if signed
> layout: dense
> refused: it may reach
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmovg rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: another number is compared than is used
> layout: dense
> refused: it may reach
    mov eax, esi
    mov edx, esi
    add edx, 1
    mov ecx, 0x400000
    cmp rdx, 0x400000
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: the number changes between comparison and choice
> layout: dense
> refused: it may reach
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    mov eax, [rdi]                  ! memory
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: half of the index is compared
> layout: dense
> refused: 
    mov eax, esi
    shl rax, 8
    mov ecx, 0x400000
    cmp eax, 0x400000
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: clamped further than the guard reaches
> layout: dense
> refused: it may reach
    mov eax, esi
    mov ecx, 0x403000
    cmp rax, 0x403000
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: added to after the clamp (CVE-2026-34971: the bound was checked before the offset)
> layout: dense
> refused: it may reach
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmova rax, rcx
    shl rax, 1
    mov eax, [rdi + rax]            ! memory
    ret

# dense: a lent memory, clamped to the own one's bound
> layout: dense
> refused: it may reach
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmova rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret

# below the memory
> refused: it may reach
    mov rdx, [rdi + memory]
    mov eax, [rdx - 8]              ! memory
    ret

# beyond the guard's last byte
> refused: it may reach
    mov eax, esi
    mov eax, [rdi + rax + 0x1fffffe] ! memory
    ret

# a lent memory, clamped to its own bound, beyond the guard's last byte
> refused: it may reach
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1fffffd] ! memory
    ret

# dense: the same
> layout: dense
> refused: it may reach
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1ffd]    ! memory
    ret

# a lent memory of 64-bit addresses, not clamped
> refused: it may reach
    mov rdx, [rdi + wide_memory]
    mov r8, [rdx]
    mov eax, esi
    mov eax, [r8 + rax]             ! memory
    ret

# dense: a division between comparison and choice
> layout: dense
> refused: it may reach
    mov r8d, esi
    mov r9d, 0x400000
    xor edx, edx
    mov eax, 7
    cmp r8, 0x400000
    div r9d                         ! division
    cmova r8, r9
    mov eax, [rdi + r8]             ! memory
    ret

# dense: another number is in the register on one of two ways to the choice
> layout: dense
> refused: it may reach
> function: binary
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    je .choose
    mov eax, edx
.choose:
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# a lent memory of 64-bit addresses, clamped to its own bound, beyond its guard
> refused: it may reach
    mov rdx, [rdi + wide_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1ffd]    ! memory
    ret
