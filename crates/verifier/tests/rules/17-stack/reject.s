# a large frame, not compared
> refused: deeper than it was compared
    sub rsp, 0x100000
    mov [rsp], esi
    add rsp, 0x100000
    mov eax, esi
    ret

# compared for less than is used
> refused: deeper than it was compared
    mov rax, [rdi + stack_limit]
    add rax, 0x1000
    cmp rsp, rax
    jb .deep
    sub rsp, 0x100000
    mov [rsp], esi
    add rsp, 0x100000
    mov eax, esi
    ret
.deep:
    ud2                             ! stack

# the branch goes the wrong way
> refused: deeper than it was compared
    mov rax, [rdi + stack_limit]
    add rax, 0x100000
    cmp rsp, rax
    ja .deep
    sub rsp, 0x100000
    mov [rsp], esi
    add rsp, 0x100000
    mov eax, esi
    ret
.deep:
    ud2                             ! stack

# compared, and the result ignored
> refused: deeper than it was compared
    mov rax, [rdi + stack_limit]
    add rax, 0x100000
    cmp rsp, rax
    sub rsp, 0x100000
    mov [rsp], esi
    add rsp, 0x100000
    mov eax, esi
    ret

# a call without a comparison
> refused: a call must come after
    sub rsp, 24
    call @other
    add rsp, 24
    ret

# a call below what was compared
> refused: a call must come after
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    sub rsp, 48
    call @other
    add rsp, 48
    ret
.deep:
    ud2                             ! stack

# only one of two ways has compared
> refused: a call must come after
    test esi, esi
    jne .call
    mov rax, [rdi + stack_limit]
    cmp rsp, rax
    jb .deep
.call:
    call @other
    ret
.deep:
    ud2                             ! stack

# a tail call with more parameters than ours, so that the callee starts deeper
> refused: would start deeper
> function: binary
    mov rax, [rsp]
    sub rsp, 16
    mov [rsp], rax
    mov [rsp + 8], rsi
    mov [rsp + 16], rsi
    mov ecx, 1
    mov r8d, 1
    mov r9d, 1
    jmp @on_stack

# a call just below what was compared
> refused: a call must come after
    mov rax, [rdi + stack_limit]
    add rax, 39
    cmp rsp, rax
    jb .deep
    sub rsp, 40
    call @other
    .leave 40

# pushed deeper than it was compared
> refused: deeper than it was compared
    sub rsp, 0x100000
    push rsi
    add rsp, 0x100008
    mov eax, esi
    ret

# popped from deeper than it was compared
> refused: deeper than it was compared
    sub rsp, 0x100000
    pop rax
    add rsp, 0xffff8
    mov eax, esi
    ret

# a tail call just below what was compared
> refused: would start deeper
> function: binary
    mov rax, [rdi + stack_limit]
    add rax, 15
    cmp rsp, rax
    jb .deep
    mov rax, [rsp]
    sub rsp, 16
    mov [rsp], rax
    mov [rsp + 8], rsi
    mov [rsp + 16], rsi
    mov ecx, 1
    mov r8d, 1
    mov r9d, 1
    jmp @on_stack
.deep:
    ud2                             ! stack

# a stack pointer far below what was compared, where nothing is touched
> refused: deeper than it was compared
    sub rsp, 0x100000
    nop
    add rsp, 0x100000
    mov eax, esi
    ret

# pushed just deeper than goes without a comparison
> refused: deeper than it was compared
    sub rsp, 0x400
    push rsi
    add rsp, 0x408
    mov eax, esi
    ret

# a place is compared that is so far below that its address may lie before the first one, that is at the end of all
> refused: deeper than it was compared
    mov rax, [rdi + stack_limit]
    mov rdx, 0x8000000000
    mov rcx, rsp
    sub rcx, rdx
    cmp rcx, rax
    jb .deep
    sub rsp, 0x100000
    add rsp, 0x100000
    mov eax, esi
    ret
.deep:
    ud2                             ! stack

# compared just further below than frames reach
> refused: deeper than it was compared
    mov rax, [rdi + stack_limit]
    lea rcx, [rsp - 0x4000001]
    cmp rcx, rax
    jb .deep
    sub rsp, 0x3fffff8
    .leave 0x3fffff8
