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
