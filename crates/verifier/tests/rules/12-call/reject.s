# the host thunk, past the import's slot
> refused: no start of a function that guests may call
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov edx, 1
    call @thunk
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# the stub for bad calls
> refused: no start of a function that guests may call
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    call @bad_call
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# into a function
> refused: no start of a function that guests may call
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    call .inside
    add rsp, 24
    ret
.deep:
    ud2                             ! stack
    bytes cc cc
.inside:

# another context than the own
> refused: not given the function's own context
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    lea rdi, [rdi + 64]
    call @other
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a number
> refused: no code that the function may call
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov eax, esi
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# an import with the own context
> refused: does not belong to the code
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov edx, 1
    mov rax, [rdi + import]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# an import's code that was moved by one
> refused: no code that the function may call
    sub rsp, 24
    mov rax, [rdi + stack_limit]
    add rax, 24
    cmp rsp, rax
    jb .deep
    mov edx, 1
    mov rax, [rdi + import]
    add rax, 1
    mov rdi, [rdi + import + 8]
    call rax
    add rsp, 24
    ret
.deep:
    ud2                             ! stack

# a jump to a number
> refused: no code that the function may call
    mov eax, esi
    jmp rax

# an entry's code from a loop's first round, with the signature of its second: the index has one name in both
> refused: no code that the function may call
> function: binary
    sub rsp, 40
    mov rax, [rdi + stack_limit]
    add rax, 40
    cmp rsp, rax
    jb .deep
    mov [rsp], rbx
    mov [rsp + 8], r12
    mov rax, rsi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    xor r10d, r10d
.round:
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov r12, [rdi + rax + entries + 16]
    lea r11, [.table]
    and r10d, 1
    movsxd rcx, dword [r11 + r10*4]
    add rcx, r11
    jmp rcx
.table:
    offset .first minus .table
    offset .second minus .table
.first:
    mov rbx, r8
    mov r10d, 1
    mov rax, rdx
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    jmp .round
.second:
    mov r11, unary_id
    lea rcx, [@bad_call]
    cmp r9, r11
    cmove rcx, rbx
    test r12, r12
    cmove r12, rdi
    mov rdi, r12
    call rcx
    mov eax, eax
    mov rbx, [rsp]
    mov r12, [rsp + 8]
    add rsp, 40
    ret
.deep:
    ud2                             ! stack

# a call with a stack pointer that is not aligned: the callee's values for the host would not be either
> refused: not aligned at this call
    sub rsp, 16
    mov rax, [rdi + stack_limit]
    add rax, 16
    cmp rsp, rax
    jb .deep
    call @other
    add rsp, 16
    ret
.deep:
    ud2                             ! stack

# a jump table's entry, read with a displacement
> refused: no code that the function may call
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*4 + 4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# every other entry of a jump table
> refused: no code that the function may call
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    movsxd rdx, dword [rax + rcx*8]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# half an entry of a jump table
> refused: no code that the function may call
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    movsx rdx, word [rax + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# an entry of a jump table from a place that is not known
> refused: no code that the function may call
    mov ecx, esi
    and ecx, 1
    lea rax, [.table]
    mov r8, rax
    mov r9d, esi
    and r9d, 1
    add r8, r9
    movsxd rdx, dword [r8 + rcx*4]
    add rdx, rax
    jmp rdx
.table:
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
    offset .one minus .table
.one:
    mov eax, 1
    ret

# what is chosen if the signature does not match is another function
> refused: no code that the function may call
    .enter 24
    mov eax, esi
    mov ecx, 20
    cmp rax, 20
    cmova rax, rcx
    shl rax, 5
    mov r9, [rdi + rax + entries + 8]
    mov r8, [rdi + rax + entries]
    mov rdx, [rdi + rax + entries + 16]
    mov r11, unary_id
    lea rcx, [@other]
    cmp r9, r11
    cmove rcx, r8
    test rdx, rdx
    cmove rdx, rdi
    mov rdi, rdx
    call rcx
    .leave 24
