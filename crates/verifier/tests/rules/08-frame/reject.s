# the caller's frame is read
> refused: the caller's frame
    mov rax, [rsp + 8]
    ret

# the caller's frame is written
> refused: the caller's frame
    mov eax, esi
    mov [rsp + 8], rax
    ret

# beyond the parameters on the stack
> function: on_stack
> refused: the caller's frame
    mov rax, [rsp + 24]
    ret 16

# below the stack pointer
> refused: below the stack pointer
    mov eax, esi
    mov [rsp - 8], rax
    ret

# a place that depends on an index
> refused: the place in the frame is not known
    sub rsp, 64
    mov eax, esi
    and eax, 7
    mov eax, [rsp + rax]
    add rsp, 64
    ret

# the stack pointer becomes a number
> refused: the stack pointer would leave the frame
    mov eax, esi
    mov rsp, rax
    ret

# the stack pointer by an index
> refused: the stack pointer would not be known
    mov eax, esi
    and eax, 8
    add rsp, rax
    ret

# the stack pointer is not aligned
> refused: the stack pointer would not be known
    mov eax, esi
    sub rsp, 4
    add rsp, 4
    ret

# the stack pointer rises into the caller's frame
> refused: would rise
    mov eax, esi
    add rsp, 16
    ret

# two ways with two stack pointers
> refused: depends on the way
    test esi, esi
    jne .end
    sub rsp, 8
.end:
    mov eax, esi
    ret

# beyond the area for results
> function: many
> refused: outside the caller's area
    mov eax, 1
    mov [rdi + 16], rax
    ret

# more values than an entry trampoline passes
> function: entry
> refused: no such value to pass
    mov rax, [rdx + 0x1000]
    ret

# before the values of an entry trampoline
> function: entry
> refused: no such value to pass
    mov rax, [rdx - 8]
    ret

# below the area for results
> function: many
> refused: outside the caller's area
    mov eax, 1
    mov [rdi - 8], rax
    ret

# parameters of a call above the own frame
> function: on_stack
> refused: the parameters reach into the caller's frame
    mov rax, [rdi + stack_limit]
    cmp rsp, rax
    jb .deep
    add rsp, 24
    call @on_stack
    ret
.deep:
    ud2                             ! stack

# the caller's frame is read as a vector
> refused: the caller's frame
    movups xmm0, [rsp + 8]
    mov eax, esi
    ret

# half of a vector reaches into the caller's frame
> refused: the caller's frame
    movups xmm0, [rsp]
    mov eax, esi
    ret

# beyond the area for results as a vector
> function: many
> refused: outside the caller's area
    movups xmm0, [rdi + 8]
    ret

# a place in the frame by one of several constants
> refused: the place in the frame is not known
    sub rsp, 24
    mov eax, esi
    and eax, 1
    lea rcx, [.numbers]
    movzx ecx, byte [rcx + rax]
    mov eax, [rsp + rcx]
    add rsp, 24
    mov eax, esi
    ret
.numbers:
    bytes 08 00

# more is popped than was pushed
> refused: the caller's frame
    pop rax
    pop rax
    mov eax, esi
    ret
