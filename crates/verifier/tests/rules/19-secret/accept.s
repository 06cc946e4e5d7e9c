# saved, never looked at
    push rbx
    mov rbx, rdi
    mov rdi, rbx
    pop rbx
    mov eax, esi
    ret

# a register compared with itself, whatever it holds
    xor eax, eax
    xor ecx, ecx
    sub rdx, rdx
    mov eax, edx
    mov [rdi], eax                  ! memory
    ret

# a bit whose number has an upper half that is not to be looked at
    mov eax, [rdi]                  ! memory
    bt rax, rsi
    jae .end
    mov eax, 1
.end:
    ret

# the flag that a test of a bit, or a scan for one, sets
    bt esi, 1
    setb al
    bsf ecx, esi
    sete cl
    movzx eax, al
    ret

# flags of eight bytes, by everything that sets them
> function: binary
> cpu: x86-64-v3
    xor eax, eax
    sete al
    add rsi, rdx
    sete al
    adc rsi, rdx
    sete al
    inc rsi
    sete al
    neg rsi
    sete al
    shl rsi, 3
    sete al
    mov ecx, 3
    shl rsi, cl
    sete al
    shld rsi, rdx, cl
    sete al
    cmp rsi, rdx
    imul rsi, rdx
    sete al
    imul rsi
    sete al
    mov rax, rsi
    mul rdx
    setb cl
    mov rax, rsi
    cqo
    add rdx, rax
    bsf rcx, rdx
    sete cl
    mov rdx, rax
    mulx rcx, rax, rdx
    add rax, rcx
    ret

# flags that a reversal of bytes, whatever they are, leaves alone
    cmp esi, 1
    bswap r11
    sete al
    movzx eax, al
    ret

# flags that a test of a bit leaves alone
    cmp esi, 1
    bt esi, 1
    sete al
    movzx eax, al
    ret

# a carry that is added, or made a mask of
    bt esi, 1
    adc esi, esi
    cmp esi, 7
    sbb rcx, rcx
    mov eax, ecx
    ret

# a constant bit of memory
    mov eax, esi
    bt dword [rdi + rax], 3         ! memory
    setb al
    movzx eax, al
    ret

# half a number, shifted by another
    mov ecx, esi
    shl rsi, cl
    mov eax, esi
    ret

# a number whose low byte is another's
> function: binary
    mov rax, rsi
    mov al, dl
    ret

# a vector's difference to itself, and what is all zero by it
> function: floats
    movaps xmm6, xmm5
    pxor xmm6, xmm5
    movups [rdi], xmm6              ! memory
    pshufb xmm0, xmm6
    movups [rdi], xmm0              ! memory
    ret

# the same where two ways meet
> function: floats
    movaps xmm6, xmm5
    pxor xmm7, xmm7
    xor eax, eax
    jne .end
    nop
.end:
    pxor xmm6, xmm5
    movups [rdi], xmm6              ! memory
    movaps xmm2, xmm0
    pshufb xmm2, xmm7
    movups [rdi], xmm2              ! memory
    ret

# parts of vectors, to and from memory and registers
> function: floats
    movss xmm5, [rdi]               ! memory
    movups [rdi], xmm5              ! memory
    movd [rdi], xmm0                ! memory
    movd eax, xmm0
    mov [rdi], eax                  ! memory
    pextrd eax, xmm0, 1
    mov [rdi], eax                  ! memory
    pextrd [rdi], xmm0, 1           ! memory
    sqrtsd xmm6, xmm0
    movsd [rdi], xmm6               ! memory
    cmpss xmm0, xmm0, 1
    insertps xmm7, [rdi], 0x40      ! memory
    movd [rdi], xmm7                ! memory
    insertps xmm8, xmm0, 0x0e
    movups [rdi], xmm8              ! memory
    sub rsp, 8
    mov [rsp], eax
    insertps xmm9, [rsp], 0x40
    movd [rdi], xmm9                ! memory
    add rsp, 8
    ret

# the last result in the area for results
    .enter 88
    mov rsi, rdi
    lea rdi, [rsp + 8]
    call @many
    cmp qword [rsp + 8], 0
    sete al
    .leave 88

# the flags of a shift by one, and of a shift by more where they were known
    mov eax, esi
    shl eax, 1
    setl cl
    shr eax, 3
    setl al
    movzx eax, al
    ret
