//! The list: every vector instruction that code may use.

use iced_x86::Mnemonic;

use super::vector::Shape;

macro_rules! list {
    ($($shape:expr => $($name:ident)*;)*) => {
        /// How an instruction uses vector registers; `None` if it is not on the list.
        pub(super) fn shape(mnemonic: Mnemonic) -> Option<Shape> {
            Some(match mnemonic {
                $($(Mnemonic::$name)|* => $shape,)*
                _ => return None,
            })
        }
    };
}

list! {
    Shape::Move => Movups Movupd Movdqu Vmovups Vmovupd Vmovdqu;
    Shape::MoveAligned => Movaps Movapd Movdqa Vmovaps Vmovapd Vmovdqa;
    Shape::MoveLow(4) => Movss Vmovss;
    Shape::MoveLow(8) => Movsd Vmovsd;
    Shape::MoveExtend(4) => Movd Vmovd;
    Shape::MoveExtend(8) => Movq Vmovq;
    Shape::Bitwise =>
        Andps Andpd Orps Orpd Xorps Xorpd Andnps Andnpd Pand Por Pxor Pandn Vandps Vandpd Vorps Vorpd Vxorps
        Vxorpd Vandnps Vandnpd Vpand Vpor Vpxor Vpandn;
    Shape::PackedFrom =>
        Cvtdq2pd Cvtdq2ps Cvtpd2ps Cvtps2pd Cvttpd2dq Cvttps2dq Pabsb Pabsd Pabsw Pmovsxbd Pmovsxbq Pmovsxbw
        Pmovsxdq Pmovsxwd Pmovsxwq Pmovzxbd Pmovzxbq Pmovzxbw Pmovzxdq Pmovzxwd Pmovzxwq Pshufhw Rcpps Rsqrtps
        Roundpd Roundps Sqrtpd Sqrtps Vcvtdq2pd Vcvtdq2ps Vcvtpd2ps Vcvtps2pd Vcvttpd2dq Vcvttps2dq Vpabsb Vpabsd
        Vpabsw Vpmovsxbd Vpmovsxbq Vpmovsxbw Vpmovsxdq Vpmovsxwd Vpmovsxwq Vpmovzxbd Vpmovzxbq Vpmovzxbw
        Vpmovzxdq Vpmovzxwd Vpmovzxwq Vpshufhw Vcvtudq2ps Vpabsq Vpopcntb Vrcpps Vrsqrtps Vroundpd
        Vroundps Vsqrtpd Vsqrtps;
    Shape::Packed =>
        Addpd Addps Blendvpd Blendvps Cmppd Cmpps Divpd Divps Maxpd Maxps Minpd Minps Mulpd Mulps Packssdw
        Packsswb Packusdw Packuswb Paddb Paddd Paddq Paddsb Paddsw Paddusb Paddusw Paddw Palignr Pavgb Pavgw
        Pblendvb Pblendw Pcmpeqb Pcmpeqd Pcmpeqq Pcmpeqw Pcmpgtb Pcmpgtd Pcmpgtq Pcmpgtw Phaddd Phaddw Pmaddubsw
        Pmaddwd Pmaxsb Pmaxsd Pmaxsw Pmaxub Pmaxud Pmaxuw Pminsb Pminsd Pminsw Pminub Pminud Pminuw Pmuldq
        Pmulhrsw Pmulhuw Pmulhw Pmulld Pmullw Pmuludq Pslld Psllq Psllw Psrad Psraw Psrld Psrlq Psrlw Psubb Psubd
        Psubq Psubsb Psubsw Psubusb Psubusw Psubw Punpckhbw Punpckhdq Punpckhqdq Punpckhwd Punpcklbw Punpckldq
        Punpcklqdq Punpcklwd Shufpd Subpd Subps Unpckhps Unpcklpd Unpcklps Vaddpd Vaddps Vblendvpd Vblendvps
        Vcmppd Vcmpps Vdivpd Vdivps Vmaxpd Vmaxps Vminpd Vminps Vmulpd Vmulps Vpackssdw Vpacksswb Vpackusdw
        Vpackuswb Vpaddb Vpaddd Vpaddq Vpaddsb Vpaddsw Vpaddusb Vpaddusw Vpaddw Vpalignr Vpavgb Vpavgw Vpblendvb
        Vpblendw Vpcmpeqb Vpcmpeqd Vpcmpeqq Vpcmpeqw Vpcmpgtb Vpcmpgtd Vpcmpgtq Vpcmpgtw Vphaddd Vphaddw
        Vpmaddubsw Vpmaddwd Vpmaxsb Vpmaxsd Vpmaxsw Vpmaxub Vpmaxud Vpmaxuw Vpminsb Vpminsd Vpminsw Vpminub
        Vpminud Vpminuw Vpmuldq Vpmulhrsw Vpmulhuw Vpmulhw Vpmulld Vpmullw Vpmuludq Vpslld Vpsllq Vpsllw Vpsrad
        Vpsraw Vpsrld Vpsrlq Vpsrlw Vpsubb Vpsubd Vpsubq Vpsubsb Vpsubsw Vpsubusb Vpsubusw Vpsubw Vpunpckhbw
        Vpunpckhdq Vpunpckhqdq Vpunpckhwd Vpunpcklbw Vpunpckldq Vpunpcklqdq Vpunpcklwd Vshufpd Vsubpd Vsubps
        Vunpckhps Vunpcklpd Vunpcklps Vfmadd132ps Vfmadd132pd Vfmadd213ps Vfmadd213pd Vfmadd231ps Vfmadd231pd
        Vfmsub132ps Vfmsub132pd Vfmsub213ps Vfmsub213pd Vfmsub231ps Vfmsub231pd Vfnmadd132ps Vfnmadd132pd
        Vfnmadd213ps Vfnmadd213pd Vfnmadd231ps Vfnmadd231pd Vfnmsub132ps Vfnmsub132pd Vfnmsub213ps Vfnmsub213pd
        Vfnmsub231ps Vfnmsub231pd Vpermi2b Vpmullq Vpsraq;
    Shape::Scalar(4, true) =>
        Addss Divss Maxss Minss Mulss Subss Cmpss Vaddss Vdivss Vmaxss Vminss Vmulss Vsubss Vcmpss Vfmadd132ss
        Vfmadd213ss Vfmadd231ss Vfmsub132ss Vfmsub213ss Vfmsub231ss Vfnmadd132ss Vfnmadd213ss Vfnmadd231ss
        Vfnmsub132ss Vfnmsub213ss Vfnmsub231ss;
    Shape::Scalar(8, true) =>
        Addsd Divsd Maxsd Minsd Mulsd Subsd Cmpsd Vaddsd Vdivsd Vmaxsd Vminsd Vmulsd Vsubsd Vcmpsd Vfmadd132sd
        Vfmadd213sd Vfmadd231sd Vfmsub132sd Vfmsub213sd Vfmsub231sd Vfnmadd132sd Vfnmadd213sd Vfnmadd231sd
        Vfnmsub132sd Vfnmsub213sd Vfnmsub231sd;
    Shape::Scalar(4, false) => Sqrtss Roundss Rcpss Rsqrtss Vsqrtss Vroundss Vrcpss Vrsqrtss;
    Shape::Scalar(8, false) => Sqrtsd Roundsd Vsqrtsd Vroundsd;
    Shape::Convert(4, 8) => Cvtss2sd Vcvtss2sd;
    Shape::Convert(8, 4) => Cvtsd2ss Vcvtsd2ss;
    Shape::ToGeneral(4) => Cvttss2si Cvtss2si Vcvttss2si Vcvtss2si;
    Shape::ToGeneral(8) => Cvttsd2si Cvtsd2si Vcvttsd2si Vcvtsd2si;
    Shape::Flags(4) => Ucomiss Vucomiss;
    Shape::Flags(8) => Ucomisd Vucomisd;
    Shape::Flags(16) => Ptest Vptest;
    Shape::Spread(8) => Movddup Vmovddup Vpbroadcastq;
    Shape::Spread(1) => Vpbroadcastb;
    Shape::Spread(2) => Vpbroadcastw;
    Shape::Spread(4) => Vpbroadcastd Vbroadcastss;
    Shape::Convert(0, 4) => Cvtsi2ss Vcvtsi2ss;
    Shape::Convert(0, 8) => Cvtsi2sd Vcvtsi2sd;
    Shape::Shuffle(false) => Pshufd Vpshufd;
    Shape::Shuffle(true) => Shufps Vshufps;
    Shape::ShuffleLow => Pshuflw Vpshuflw;
    Shape::ShuffleBytes => Pshufb Vpshufb;
    Shape::High => Movlhps Vmovlhps Movhps Vmovhps;
    Shape::InsertSingle => Insertps Vinsertps;
    Shape::Insert(1) => Pinsrb Vpinsrb;
    Shape::Insert(2) => Pinsrw Vpinsrw;
    Shape::Insert(4) => Pinsrd Vpinsrd;
    Shape::Insert(8) => Pinsrq Vpinsrq;
    Shape::Extract(1) => Pextrb Vpextrb;
    Shape::Extract(2) => Pextrw Vpextrw;
    Shape::Extract(4) => Pextrd Vpextrd Extractps Vextractps;
    Shape::Extract(8) => Pextrq Vpextrq;
    Shape::Extract(16) => Pmovmskb Movmskps Movmskpd Vpmovmskb Vmovmskps Vmovmskpd;
}

/// Whether an instruction may have an AVX-512 encoding: those that Cranelift takes where there is no older one.
pub(super) fn may_be_evex(mnemonic: Mnemonic) -> bool {
    use Mnemonic::{Vcvtudq2ps, Vpabsq, Vpermi2b, Vpmullq, Vpopcntb, Vpsraq};
    matches!(mnemonic, Vcvtudq2ps | Vpabsq | Vpermi2b | Vpmullq | Vpopcntb | Vpsraq)
}
