# an index whose upper half nobody has cleared (CVE-2026-34987: unextended offsets)
> refused: no pointer that the code may use
    mov eax, [rdi + rsi]            ! memory
    ret

# a sign-extended index (CVE-2021-32629: a spilled index came back with its sign)
> refused: no pointer that the code may use
    movsxd rax, esi
    mov eax, [rdi + rax]            ! memory
    ret

# a sign-extended index after a spill
> refused: no pointer that the code may use
    sub rsp, 16
    mov [rsp], esi
    movsxd rax, dword [rsp]
    mov eax, [rdi + rax]            ! memory
    add rsp, 16
    ret

# an index spilled as 32 bits and loaded as 64
> refused: no pointer that the code may use
    sub rsp, 16
    mov [rsp], esi
    mov rax, [rsp]
    mov eax, [rdi + rax]            ! memory
    add rsp, 16
    ret

# a number as an address
> refused: no pointer that the code may use
    mov eax, esi
    mov eax, [rax]                  ! memory
    ret

# an absolute address
> refused: absolute
    mov eax, [0x1000]               ! memory
    ret

# the sum of two pointers
> refused: no pointer that the code may use
    mov eax, [rdi + rdi]            ! memory
    ret

# a pointer that was changed bit by bit
> refused: no pointer that the code may use
    mov rax, rdi
    or rax, 8
    mov eax, [rax]                  ! memory
    ret

# the same, by its low bytes
> refused: no pointer that the code may use
    mov rax, rdi
    mov al, 8
    mov eax, [rax]                  ! memory
    ret

# an address of 16 bits added to a pointer that is lost
> refused: no pointer that the code may use
    mov eax, edi
    mov eax, [rax]                  ! memory
    ret

# a vector operand that may not be aligned
> refused: must be aligned
> function: floats
    mov eax, 1
    paddd xmm1, [rdi + rax]         ! memory
    ret

# dense: a loop's first index, chosen by the comparison of its second: the index has one name in both
> refused: no pointer that the code may use
> layout: dense
> function: binary
    push rbx
    lea rax, [rsi + 1]
    xor r10d, r10d
    lea r11, [.table]
    mov ecx, 0x400000
.round:
    and r10d, 1
    cmp rax, 0x400000
    movsxd r8, dword [r11 + r10*4]
    lea r8, [r8 + r11]
    jmp r8
.table:
    offset .first minus .table
    offset .second minus .table
.first:
    mov rbx, rax
    lea rax, [rdx + 1]
    mov r10d, 1
    jmp .round
.second:
    cmova rbx, rcx
    mov rax, [rdi + rbx]            ! memory
    pop rbx
    ret

# a vector operand among constants, at a multiple of eight
> refused: must be aligned
> function: binary
    mov eax, esi
    and eax, 8
    lea rcx, [.lanes]
    pxor xmm1, xmm1
    paddd xmm1, [rcx + rax]
    mov eax, esi
    ret
.times 8
    bytes 00
.end
.lanes:
.times 32
    bytes 00
.end

# a vector operand by an index times eight
> refused: must be aligned
> function: binary
    mov eax, esi
    and eax, 1
    lea rcx, [.lanes]
    pxor xmm1, xmm1
    paddd xmm1, [rcx + rax*8]
    mov eax, esi
    ret
.times 8
    bytes 00
.end
.lanes:
.times 32
    bytes 00
.end

# dense: a lent memory with another one's bound
> layout: dense
> refused: no pointer that the code may use
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov rdx, [rdi + wide_memory]
    mov eax, esi
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret

# dense: a lent memory, clamped to its own bound after an index was added
> layout: dense
> refused: no pointer that the code may use
    mov rdx, [rdi + shared_memory]
    mov r8, [rdx]
    mov eax, esi
    add r8, rax
    mov rcx, [rdx + 16]
    cmp rax, rcx
    cmova rax, rcx
    mov eax, [r8 + rax]             ! memory
    ret

# a lent table with another one's bound
> refused: no pointer that the code may use
    mov rdx, [rdi + lent_table]
    mov r8, [rdi + another_table]
    mov eax, esi
    mov rcx, [r8 + 16]
    cmp rax, rcx
    cmova rax, rcx
    shl rax, 5
    mov rdx, [rdx]
    mov rdx, [rdx + rax + 8]
    mov eax, esi
    ret

# an index that grows beyond everything on the way back in a loop
> refused: goes too far
    mov ecx, esi
    and ecx, 1
    jmp .scale
.back:
    mov rdx, [rax + entries + 64]
    test esi, esi
    jne .wide
    mov eax, esi
    ret
.wide:
    mov ecx, esi
.scale:
    shl rcx, 5
    lea rax, [rdi + rcx - 64]
    jmp .back

# a pointer that was below the stack pointer for a while, where the host puts where the code was stopped
> refused: no pointer that the code may use
    push rdi
    add rsp, 8
    nop
    sub rsp, 8
    pop rdi
    mov eax, [rdi]                  ! memory
    ret

# a pointer in the area for results, where the callee may have written beside them
> refused: no pointer that the code may use
    .enter 88
    mov [rsp + 16], rdi
    mov rsi, rdi
    lea rdi, [rsp + 8]
    call @many
    mov rdi, [rsp + 16]
    mov eax, [rdi + count]
    .leave 88
