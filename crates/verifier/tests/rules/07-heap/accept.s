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

# up to the guard's last byte
    mov eax, esi
    mov eax, [rdi + rax + 0x1fffffd] ! memory
    ret

# a lent memory, clamped to its own bound, up to the guard's last byte
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1fffffc] ! memory
    ret

# dense: the same
> layout: dense
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1ffc]    ! memory
    ret

# dense: a constant in a lent memory, clamped to its own bound
> layout: dense
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, 100
    mov rcx, [rdx + 16]
    cmp rcx, rax
    cmovb rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret

# dense: a slot is compared and used
> layout: dense
    sub rsp, 24
    mov eax, esi
    push rax
    mov ecx, 0x400000
    cmp qword [rsp], 0x400000
    mov rax, [rsp]
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    add rsp, 32
    ret

# dense: a slot of a number that is compared in a register
> layout: dense
    sub rsp, 24
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    mov [rsp], rax
    mov rdx, [rsp]
    cmova rdx, rcx
    mov eax, [rdi + rdx]            ! memory
    add rsp, 24
    ret

# dense: the same number in another register
> layout: dense
    mov eax, esi
    mov edx, eax
    mov ecx, 0x400000
    cmp rdx, 0x400000
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# indices that shifts, products, differences and signs leave small
> function: binary
> layout: dense
    mov rax, rsi
    shr rax, 44
    mov eax, [rdi + rax]            ! memory
    mov eax, esi
    shr eax, 12
    mov ecx, edx
    shr rax, cl
    mov eax, [rdi + rax]            ! memory
    mov rax, 0x7fffffffffffffff
    and rax, rsi
    sar rax, 43
    mov eax, [rdi + rax]            ! memory
    mov eax, esi
    and eax, 255
    imul rax, rax, 8
    mov eax, [rdi + rax]            ! memory
    mov eax, 16
    mov ecx, esi
    and ecx, 16
    sub rax, rcx
    mov eax, [rdi + rax]            ! memory
    mov eax, esi
    and eax, 255
    or rax, 0x100
    mov eax, [rdi + rax]            ! memory
    mov eax, esi
    and eax, 0x7f
    movsx rax, al
    mov eax, [rdi + rax]            ! memory
    ret

# dense: a parameter on the stack is compared and used
> layout: dense
> function: on_stack
    mov ecx, 0x400000
    cmp qword [rsp + 8], 0x400000
    mov rax, [rsp + 8]
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret 16

# dense: a small number in a slot, after parts of it were looked at
> layout: dense
    sub rsp, 24
    movzx eax, sil
    mov [rsp], rax
    mov [rsp + 8], rax
    mov edx, [rsp]
    mov edx, [rdi + rdx]            ! memory
    mov rdx, [rsp + 4]
    mov rax, [rsp]
    mov eax, [rdi + rax]            ! memory
    mov rax, [rsp + 8]
    mov eax, [rdi + rax]            ! memory
    add rsp, 24
    ret

# dense: a comparison, then two ways to the choice
> layout: dense
    mov eax, esi
    mov ecx, 0x400000
    cmp rax, 0x400000
    je .choose
    nop
.choose:
    cmova rax, rcx
    mov eax, [rdi + rax]            ! memory
    ret

# a memory of 64-bit addresses, clamped to its own bound
    mov rdx, [rdi + wide_memory]
    mov r8, [rdx]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax + 0x1ffc]    ! memory
    ret

# dense: the same with the constant itself in the comparison
> layout: dense
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, 100
    mov rcx, [rdx + 16]
    cmp rcx, 100
    cmovb rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret
