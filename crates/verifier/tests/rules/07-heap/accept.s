# any 32-bit index, up to the guard's end
    mov eax, esi
    mov eax, [rdi + rax + 0x1000]   ! memory
    ret

# dense: an index that is clamped to the reservation
> layout: dense
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmova rax, rcx
    mov eax, [rdi + rax + 8]        ! memory
    ret

# dense: the clamp written the other way
> layout: dense
    mov eax, esi
    mov ecx, 0x400000
    cmp rcx, rax
    cmovb rax, rcx
    mov eax, [rdi + rax + 8]        ! memory
    ret

# dense: constants that are clamped by a comparison of constants
> layout: dense
    mov rax, -8192
    mov ecx, 0x400000
    cmp rcx, rax
    cmovb rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# dense: a clamped index that was spilled
> layout: dense
    sub rsp, 16
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmova rax, rcx
    mov [rsp], rax
    mov rax, [rsp]
    mov eax, [rdi + rax]            ! memory
    add rsp, 16
    ret

# dense: a lent memory, clamped to its own bound
> layout: dense
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret

# dense: in a loop, an index that is a constant at first, clamped before a branch and used after it
> layout: dense
    xor eax, eax
.again:
    mov eax, eax
    mov ecx, 0x400000
    cmp rax, 0x400000
    cmova rax, rcx
    mov edx, [rdi + rax]            ! memory
    test edx, edx
    jne .on
    ret
.on:
    mov eax, [rdi + rax + 8]        ! memory
    jmp .again
