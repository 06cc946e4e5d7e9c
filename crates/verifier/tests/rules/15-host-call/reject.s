# a guest's own function calls the host
> refused: only host thunks
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rdx, rsp
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a thunk for another slot
> refused: another slot
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
    add rsi, 32
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# another context
> refused: not given the function's own context
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
    lea rdi, [rdi + 8]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# values that were not written
> refused: a value was not written
> function: thunk
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    mov [rsp], esi
    mov rdx, rsp
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# values outside the frame
> refused: the values are not in the frame
> function: thunk
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    mov rdx, rdi
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# values that reach over the return address
> refused: the values are not in the frame
> function: thunk
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    lea rdx, [rsp + 32]
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# a builtin that does not exist
> refused: there is no builtin
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rdx, rsp
    mov esi, 0x7777
    mov rax, [rdi + builtin]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a builtin by a number of the guest's
> refused: the number in esi is not known
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rdx, rsp
    mov rax, [rdi + builtin]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a trap without a number
> refused: no trap's number
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov esi, 200
    mov rax, [rdi + raise]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# values that are not aligned
> refused: not in the frame, aligned
> function: thunk
    sub rsp, 56
    mov rax, [rdi + stack_limit]
    add rax, 56
    cmp rsp, rax
    jb .deep
    mov [rsp + 8], esi
    mov [rsp + 24], rdx
    lea rdx, [rsp + 8]
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp + 8]
    add rsp, 56
    ret
.deep:
    ud2                             ! stack

# values below the stack pointer
> refused: not in the frame, aligned
> function: thunk
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    lea rdx, [rsp - 32]
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# a builtin with another context
> refused: not given the function's own context
    .enter 24
    mov eax, esi
    mov [rsp], rax
    mov rdx, rsp
    mov rax, [rdi + builtin]
    lea rdi, [rdi + 8]
    mov esi, 4
    call rax
    .leave 24

# values that are as far from the context as the frame would be
> refused: the values are not in the frame
> function: thunk
    .enter 40
    mov [rsp], esi
    mov [rsp + 16], rdx
    lea rdx, [rdi - 40]
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    .leave 40
