# a large frame, compared with the limit
    mov rax, [rdi + stack_limit]
    add rax, 0x100000
    cmp rsp, rax
    jb .deep
    sub rsp, 0x100000
    mov [rsp], esi
    add rsp, 0x100000
    mov eax, esi
    ret
.deep:
    ud2                             ! stack

# a small frame of a function that calls nothing
    sub rsp, 24
    mov [rsp], esi
    mov eax, [rsp]
    add rsp, 24
    ret

# a tail call at exactly the place that was compared
> function: binary
    mov rax, [rdi + stack_limit]
    add rax, 16
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

# compared with the furthest place that may be compared with
    mov rax, [rdi + stack_limit]
    mov ecx, 0xffffffff
    add rax, rcx
    cmp rsp, rax
    jb .deep
    sub rsp, 24
    call @other
    .leave 24

# compared as far below as frames reach
    mov rax, [rdi + stack_limit]
    lea rcx, [rsp - 0x4000000]
    cmp rcx, rax
    jb .deep
    sub rsp, 0x3fffff8
    call @other
    .leave 0x3fffff8
