# another function's code
> refused: outside the function
    mov eax, [@other]
    ret

# an index that may leave the function
> refused: outside the function
    mov eax, esi
    and eax, 255
    lea rcx, [.numbers]
    mov eax, [rcx + rax]
    ret
.numbers:
    bytes 01 02 03 04 05 06 07

# a constant that reaches over the function's end
> refused: outside the function
    mov rax, [.number]
    ret
.number:
    bytes 01 02 03 04

# a table far behind the text, from which nothing is taken
> refused: lies outside the function
    mov eax, esi
    and eax, 1
    lea rcx, [@unary + 0x7fff0000]
    movsxd rcx, dword [rcx + rax*4]
    mov eax, esi
    ret
