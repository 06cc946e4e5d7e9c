# a function of the module, and an import with its context
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov [rsp], rdi
    call @other
    mov rdi, [rsp]
    mov esi, eax
    mov edx, 1
    mov rax, [rdi + import]
    mov rdi, [rdi + import + 8]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack
