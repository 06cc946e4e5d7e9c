# a parameter that was never written
> refused: General(2) holds no 8 bytes
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov esi, esi
    call @binary
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a parameter of which half was written
> refused: General(6) holds no 8 bytes
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov edx, 1
    call @binary
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# an address
> refused: General(6) holds no 4 bytes
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    call @other
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a vector that was never written
> refused: Vector(0) holds no 8 bytes
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    call @floats
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a parameter on the stack that was never written
> refused: Memory(0) holds no 8 bytes
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    mov esi, esi
    mov edx, 1
    mov ecx, 1
    mov r8d, 1
    mov r9d, 1
    call @on_stack
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the area for results lies outside the frame
> refused: the area for results
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    call @many
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the area for results reaches over the return address
> refused: the area for results
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    lea rdi, [rsp + 24]
    call @many
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the area for results is not aligned
> refused: the area for results
    sub rsp, 88
    mov rax, [rdi + stack_limit]
    add rax, 88
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    lea rdi, [rsp + 4]
    call @many
    add rsp, 88
    ret
.deep:
    ud2                             ! stack

# the area for results lies below the stack pointer
> refused: the area for results
    sub rsp, 88
    mov rax, [rdi + stack_limit]
    add rax, 88
    cmp rsp, rax
    jb .deep
    mov rsi, rdi
    lea rdi, [rsp - 64]
    call @many
    add rsp, 88
    ret
.deep:
    ud2                             ! stack

# a tail call with an area for results that is not our caller's
> refused: not given our caller's area
> function: many
    lea rdi, [rdi + 8]
    jmp @many

# a tail call without its parameter
> refused: General(6) holds no 4 bytes
    mov rsi, r11
    jmp @other

# an area for results that is as far from the context as the frame would be
> refused: the area for results
    .enter 88
    mov rsi, rdi
    lea rdi, [rdi - 80]
    call @many
    .leave 88

# an area for results that reaches just over the end of the own parameters
> function: on_stack
> refused: the area for results
    .enter 24
    mov rsi, rdi
    lea rdi, [rsp + 40]
    call @many
    add rsp, 24
    ret 16
.deep:
    ud2                             ! stack
