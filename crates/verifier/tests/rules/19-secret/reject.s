# an address is stored
> refused: may not be shown
    mov [rdi], rdi                  ! memory
    mov eax, esi
    ret

# what a register held on entry is stored
> refused: may not be shown
    mov [rdi], r11                  ! memory
    mov eax, esi
    ret

# half of it
> refused: may not be shown
    mov [rdi], rbx                  ! memory
    mov eax, esi
    ret

# a vector register's upper half
> function: floats
> refused: may not be shown
    movups [rdi], xmm0              ! memory
    ret

# a slot that was never written
> refused: may not be shown
    sub rsp, 16
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    add rsp, 16
    ret

# the return address is stored
> refused: may not be shown
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    mov eax, esi
    ret

# flags of an address
> refused: the flags say something
    test rdi, rdi
    jne .end
.end:
    mov eax, esi
    ret

# flags on entry
> refused: the flags say something
    setb al
    movzx eax, al
    ret

# arithmetic hides nothing
> refused: may not be shown
    mov rax, rdi
    imul rax, rax, 3
    mov [rdi], rax                  ! memory
    ret

# what a callee left in a register
> refused: may not be shown
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov [rsp], rdi
    call @other
    mov rdi, [rsp]
    mov [rdi], rcx                  ! memory
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# what a callee left below the stack pointer
> refused: may not be shown
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov [rsp], rdi
    call @other
    mov rdi, [rsp]
    sub rsp, 16
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# whether a division faults tells of an address
> function: binary
> refused: may not be read
    mov rax, rdi
    xor edx, edx
    mov rcx, rsi
    div rcx                         ! division
    ret

# a bit whose number is not to be looked at at all
> refused: may not be read
    mov eax, [rdi]                  ! memory
    bt rax, r11
    jae .end
    mov eax, 1
.end:
    ret

# an entry's signature is compared with any number
> refused: the flags say something
    mov rdx, [rdi + entries + 8]
    mov eax, esi
    cmp rdx, rax
    sete al
    movzx eax, al
    ret

# bits of an entry's context
> refused: the flags say something
    mov rdx, [rdi + entries + 16]
    mov eax, esi
    test rdx, rax
    sete al
    movzx eax, al
    ret

# flags that a product may leave as they were
> refused: the flags say something
    imul esi, esi
    sete al
    movzx eax, al
    ret

# flags that a test of a bit may leave as they were
> refused: the flags say something
    bt esi, 1
    sete al
    movzx eax, al
    ret

# flags that a scan for bits may leave as they were
> refused: the flags say something
    bsf ecx, esi
    sets al
    movzx eax, al
    ret

# flags that a rotation leaves as they were
> refused: the flags say something
    rol esi, 3
    sete al
    movzx eax, al
    ret

# what a callee left in a register that held a number before
> refused: may not be shown
    .enter 24
    mov ecx, 1
    mov [rsp], rdi
    call @other
    mov rdi, [rsp]
    mov [rdi], ecx                  ! memory
    .leave 24

# what a callee left in a vector register
> refused: may not be shown
    .enter 24
    pxor xmm9, xmm9
    mov [rsp], rdi
    call @other
    mov rdi, [rsp]
    movups [rdi], xmm9              ! memory
    .leave 24

# what a callee left in the flags
> refused: the flags say something
    .enter 24
    cmp esi, 1
    call @other
    sete al
    movzx eax, al
    .leave 24

# what a callee left below the stack pointer, where a number was before
> refused: may not be shown
    .enter 24
    mov eax, esi
    mov [rsp], rax
    sub rsp, 16
    mov [rsp], rax
    add rsp, 16
    mov [rsp + 8], rdi
    call @other
    mov rdi, [rsp + 8]
    sub rsp, 16
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    add rsp, 16
    .leave 24

# what the host left below the stack pointer
> refused: may not be shown
    .enter 56
    mov eax, esi
    mov [rsp], rax
    mov [rsp + 40], rdi
    sub rsp, 16
    mov [rsp], rax
    add rsp, 16
    mov rdx, rsp
    mov esi, 4
    mov rax, [rdi + builtin]
    call rax
    mov rdi, [rsp + 40]
    sub rsp, 16
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    add rsp, 16
    .leave 56

# what the host left in a register
> refused: may not be shown
    .enter 56
    mov eax, esi
    mov [rsp], rax
    mov [rsp + 40], rdi
    mov rdx, rsp
    mov ecx, 1
    mov esi, 4
    mov rax, [rdi + builtin]
    call rax
    mov rdi, [rsp + 40]
    mov [rdi], ecx                  ! memory
    .leave 56

# what is left in a register after a trap, which does not return
> refused: may not be shown
    .enter 24
    mov [rsp], rdi
    mov ecx, 1
    mov esi, 10
    mov rax, [rdi + raise]
    call rax
    mov rdi, [rsp]
    mov [rdi], ecx                  ! memory
    .leave 24

# what is left below the stack pointer after a trap
> refused: may not be shown
    .enter 24
    mov [rsp], rdi
    mov eax, esi
    sub rsp, 16
    mov [rsp], rax
    add rsp, 16
    mov esi, 10
    mov rax, [rdi + raise]
    call rax
    mov rdi, [rsp]
    sub rsp, 16
    mov rax, [rsp]
    mov [rdi], rax                  ! memory
    add rsp, 16
    .leave 24

# a sum of what a register held on entry with itself and the carry
> refused: may not be shown
    cmp esi, 1
    adc r11, r11
    mov [rdi], r11                  ! memory
    mov eax, esi
    ret

# a few bits of what a register held on entry
> refused: may not be shown
    and r11d, 255
    sar r11d, 1
    mov [rdi], r11d                 ! memory
    mov eax, esi
    ret

# any number is compared with an entry's signature
> refused: the flags say something
    mov rdx, [rdi + entries + 8]
    mov eax, esi
    cmp rax, rdx
    sete al
    movzx eax, al
    ret

# a bit of an entry's context, in the table itself
> refused: the flags say something
    test qword [rdi + entries + 16], 1
    sete al
    movzx eax, al
    ret

# flags that may be looked at on one of two ways only
> refused: the flags say something
    cmp esi, 1
    jne .other
.end:
    sete al
    movzx eax, al
    ret
.other:
    test rdi, rdi
    jmp .end

# a vector that may be looked at on one of two ways only
> refused: may not be shown
    pxor xmm6, xmm6
    cmp esi, 1
    jne .other
.end:
    movups [rdi], xmm6              ! memory
    mov eax, esi
    ret
.other:
    movaps xmm6, xmm7
    jmp .end

# a vector's difference to itself, which is another on one of two ways
> refused: may not be shown
    movaps xmm6, xmm5
    cmp esi, 1
    jne .other
.end:
    pxor xmm6, xmm5
    movups [rdi], xmm6              ! memory
    mov eax, esi
    ret
.other:
    movaps xmm6, xmm7
    jmp .end

# bytes chosen by a vector that is zero on the first of two ways only
> function: floats
> refused: may not be shown
    pxor xmm6, xmm6
    xor eax, eax
    jne .other
.end:
    pshufb xmm0, xmm6
    movups [rdi], xmm0              ! memory
    ret
.other:
    movaps xmm6, xmm1
    jmp .end

# bytes chosen by a vector that is zero on the second of two ways only
> function: floats
> refused: may not be shown
    movaps xmm6, xmm1
    xor eax, eax
    jne .other
.end:
    pshufb xmm0, xmm6
    movups [rdi], xmm0              ! memory
    ret
.other:
    pxor xmm6, xmm6
    jmp .end

# a vector that is indexed by two others, and was never written
> cpu: all
> refused: may not be shown
    vpxor xmm2, xmm2, xmm2
    evex.vpermi2b xmm3, xmm2, xmm2
    mov eax, esi
    vmovdqu [rdi + rax], xmm3       ! memory
    ret

# the stack's limit, four gigabytes further
> refused: the flags say something
    mov rax, [rdi + stack_limit]
    mov rcx, 0x100000000
    add rax, rcx
    cmp rsp, rax
    jb .deep
    mov eax, esi
    ret
.deep:
    ud2                             ! stack

# the stack's limit, half the address space further
> refused: the flags say something
    mov rax, [rdi + stack_limit]
    mov rcx, 0x7fffffffffffffff
    add rax, rcx
    sub rsp, 16
    cmp rsp, rax
    jb .deep
    mov eax, esi
    add rsp, 16
    ret
.deep:
    ud2                             ! stack

# what lies behind the last result in the area for results
> refused: the flags say something
    .enter 88
    mov rsi, rdi
    lea rdi, [rsp + 8]
    call @many
    cmp qword [rsp + 16], 0
    sete al
    .leave 88

# a number that was below the stack pointer for a while
> refused: the flags say something
    push rsi
    pop rcx
    sub rsp, 8
    pop rdx
    mov eax, 1
    test edx, edx
    sete al
    ret

# the difference of two registers that held the same on one of two ways
> refused: may not be shown
    mov rcx, r11
    test esi, esi
    je .same
    mov rcx, r10
.same:
    sub rcx, r11
    mov [rdi], rcx                  ! memory
    mov eax, esi
    ret

# the flags of a shift by more than one: of the overflow nobody says what it is, perhaps what it was
> refused: the flags say something
    mov eax, esi
    shl eax, 3
    setl al
    movzx eax, al
    ret
