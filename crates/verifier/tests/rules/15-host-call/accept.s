# the thunk of an import
> function: thunk
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    mov [rsp], esi
    mov [rsp + 16], rdx
    mov rdx, rsp
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# an explicit trap
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov esi, 10
    mov rax, [rdi + raise]
    call rax
    ud2                             ! unreachable
.deep:
    ud2                             ! stack

# values that reach to the end of the frame: what is called does not return
    .enter 24
    mov eax, esi
    mov [rsp + 16], rax
    lea rdx, [rsp + 16]
    mov esi, 4
    mov rax, [rdi + builtin]
    call rax
    ud2                             ! unreachable
.deep:
    ud2                             ! stack
