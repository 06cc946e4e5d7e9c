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

# a call at exactly the place that was compared
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    sub rsp, 24
    call @other
    .leave 24

# compared, and the side where it is enough is jumped to
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jae .enough
    ud2                             ! stack
.enough:
    sub rsp, 24
    call @other
    add rsp, 24
    ret

# a jump to the function that begins where this one ends
.times 59
    nop
.end
    jmp @other

# a call whose parameters are the caller's own: it never returns
> function: on_stack
    .enter 24
    add rsp, 32
    call @on_stack
    ud2                             ! unreachable
.deep:
    ud2                             ! stack
