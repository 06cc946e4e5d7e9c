# a register is not restored
> refused: rbx is not what it was
    mov ebx, esi
    mov eax, esi
    ret

# a register is restored to another's
> refused: is not what it was
    push rbx
    push r12
    mov eax, esi
    pop rbx
    pop r12
    ret

# the return address is overwritten
> refused: not the return address
    mov eax, esi
    mov [rsp], rax
    ret

# half of the return address is overwritten
> refused: not the return address
    mov eax, esi
    mov [rsp], eax
    ret

# something is left on the stack
> refused: would not be where the caller expects it
    push rbx
    mov eax, esi
    ret

# parameters on the stack are left
> function: on_stack
> refused: would not be where the caller expects it
    mov rax, [rsp + 8]
    ret

# more is removed than was passed
> refused: would not be where the caller expects it
    mov eax, esi
    ret 8

# no result
> refused: General(0) holds no 4 bytes
    ret

# no result of eight bytes
> function: binary
> refused: General(0) holds no 8 bytes
    ret

# an address as a result
> function: binary
> refused: General(0) holds no 8 bytes
    mov rax, rdi
    ret

# a tail call of a function with other results
> refused: not where our caller looks for them
    mov esi, esi
    jmp @nothing

# a tail call that leaves parameters
> refused: would not remove
    mov rdx, 1
    mov rcx, 1
    mov r8, 1
    mov r9, 1
    jmp @on_stack

# a tail call with a register changed
> refused: rbx is not what it was
    mov ebx, esi
    jmp @other

# the stub for bad calls returns
> function: bad_call
> refused: may not return
    ret

# what a scan leaves if there is no bit: the whole register as it was
> refused: General(0) holds no 4 bytes
    bsf eax, esi
    ret

# the same, looked at on the wrong side of the flags
> refused: General(0) holds no 4 bytes
    mov ecx, 32
    bsf eax, esi
    cmovne eax, ecx
    ret

# a value that the host did not write
> function: thunk
> refused: General(0) holds no 8 bytes
    .enter 40
    mov [rsp], esi
    mov [rsp + 16], rdx
    mov rdx, rsp
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp + 24]
    .leave 40

# a register that was saved among the host's values
> function: thunk
> refused: rbx is not what it was
    .enter 40
    mov [rsp], esi
    mov [rsp + 16], rdx
    mov [rsp + 24], rbx
    mov rdx, rsp
    mov rsi, import
    mov rax, [rdi + host_call]
    call rax
    mov rax, [rsp]
    mov rbx, [rsp + 24]
    .leave 40

# a slot that is written on one of two ways
> function: binary
> refused: General(0) holds no 8 bytes
    sub rsp, 248
    mov eax, esi
    test esi, esi
    jne .other
    mov [rsp + 200], rax
.end:
    mov rax, [rsp + 200]
    add rsp, 248
    ret
.other:
    jmp .end

# a deep slot that is written on one of two ways
> function: binary
> refused: General(0) holds no 8 bytes
    sub rsp, 248
    mov eax, esi
    test esi, esi
    jne .other
    mov [rsp + 0], rax
.end:
    mov rax, [rsp + 0]
    add rsp, 248
    ret
.other:
    jmp .end

# a slot that is written on one of two ways, deeper ones on the other
> function: binary
> refused: General(0) holds no 8 bytes
    sub rsp, 248
    mov eax, esi
    test esi, esi
    jne .other
    mov [rsp + 120], rax
.end:
    mov rax, [rsp + 120]
    add rsp, 248
    ret
.other:
    mov [rsp], rax
    jmp .end

# an area for results that is written on one of two ways
> function: many
> refused: Memory(0) holds no 8 bytes
    mov eax, 1
    mov ecx, 1
    mov edx, 1
    mov esi, 1
    mov r8d, 1
    mov r9d, 1
    mov r10d, 1
    test esi, esi
    jne .other
    mov [rdi], rax
.end:
    mov edi, 1
    ret
.other:
    jmp .end

# a parameter on the stack after its call: the callee may have left anything there
> refused: General(0) holds no 4 bytes
    .enter 40
    mov esi, esi
    mov edx, 1
    mov ecx, 1
    mov r8d, 1
    mov r9d, 1
    mov [rsp], rdx
    mov [rsp + 8], rdx
    call @on_stack
    sub rsp, 16
    mov rax, [rsp]
    .leave 40
