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
