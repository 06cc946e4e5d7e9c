# both parameters, written
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov esi, esi
    mov edx, 1
    call @binary
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# parameters on the stack, and an area for results
    sub rsp, 88
    mov rax, [rdi + stack_limit]
    add rax, 88
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    lea rdi, [rsp + 8]
    call @many
    add rsp, 88
    ret
.deep:
    ud2                             ! stack

# an area for results at the end of the own parameters
> function: on_stack
    .enter 24
    mov rsi, rdi
    lea rdi, [rsp + 32]
    call @many
    add rsp, 24
    ret 16
.deep:
    ud2                             ! stack
